import { checkCommands, checkReport } from './ending.ts';
import { checkLimit } from './limit.ts';
import { checkMoney } from './money.ts';
import { checkPictures } from './pictures.ts';
import { checkRecords } from './records.ts';
import { checkRows } from './rows.ts';
import type { Scene, Violation } from './scene.ts';
import { checkSecrets } from './secrets.ts';
import { checkTenants } from './tenants.ts';
import { tellOf } from './told.ts';

/**
 * Holds everything that is left against everything else: manifest, plan, records, pictures, report, exit codes and the API's
 * own log. It shares no decision with the product, or it would share its faults.
 */
export async function violationsIn(scene: Scene): Promise<Violation[]> {
  const outputs = [...scene.outputs].map(([folder, files]) => tellOf(folder, files));
  const found: Violation[] = [];
  for (const told of outputs) {
    found.push(
      ...checkRecords(told, scene.commands),
      ...checkRows(told, scene.manifests),
      ...checkReport(told),
    );
    for await (const violation of checkPictures(told, scene.commands)) found.push(violation);
  }
  found.push(...checkMoney(outputs, scene), ...checkLimit(scene), ...checkSecrets(scene));
  found.push(...checkCommands(outputs, scene), ...checkTenants(scene));
  return found;
}
