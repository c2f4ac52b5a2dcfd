import { readdir, readFile, stat } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import type { Files, ManifestFile, Scene } from './scene.ts';

/**
 * Reads what lies below a test's folder: outputs are the folders in it that hold records.
 * @param folder what commands were started in, with their state in `state`
 */
export async function readFolder(folder: string): Promise<Pick<Scene, 'outputs' | 'state' | 'manifests'>> {
  const outputs = new Map<string, Files>();
  for (const name of await outputsIn(folder)) outputs.set(name, await filesIn(join(folder, name)));
  return {
    outputs,
    state: await filesIn(join(folder, 'state')),
    manifests: await manifestsOf(folder, outputs),
  };
}

/** The folders below that hold records. */
async function outputsIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  const folders = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  const inside = await Promise.all(folders.map((name) => readdir(join(folder, name))));
  return folders.filter((_, i) => inside[i]?.includes('.reshoot'));
}

/** No link is followed. */
async function filesIn(folder: string): Promise<Files> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  const paths = entries
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name));
  const files = new Map<string, Buffer>();
  // Some at a time: a folder of thousands would use up the system's handles.
  for (let from = 0; from < paths.length; from += 100) {
    const some = paths.slice(from, from + 100);
    const contents = await Promise.all(some.map((path) => readFile(path)));
    for (const [i, path] of some.entries()) files.set(relative(folder, path), contents[i]!);
  }
  return files;
}

/** Those that runs name, as far as they are files. */
async function manifestsOf(
  folder: string,
  outputs: ReadonlyMap<string, Files>,
): Promise<Map<string, ManifestFile>> {
  const manifests = new Map<string, ManifestFile>();
  for (const manifest of namedIn(outputs)) {
    const path = resolve(folder, manifest);
    const facts = await stat(path).catch(() => undefined);
    if (facts?.isFile())
      manifests.set(manifest, { text: await readFile(path, 'utf8'), changedMs: facts.mtimeMs });
  }
  return manifests;
}

function namedIn(outputs: ReadonlyMap<string, Files>): Set<string> {
  const names = new Set<string>();
  for (const files of outputs.values()) {
    for (const [name, content] of files) {
      if (!/^\.reshoot\/runs\/[^/]+\/run\.json$/.test(name)) continue;
      const named = /"manifest": ("(?:[^"\\]|\\.)*")/.exec(content.toString('utf8'))?.[1];
      if (named !== undefined) names.add(JSON.parse(named) as string);
    }
  }
  return names;
}
