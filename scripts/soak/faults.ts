import { faultNames } from '../../src/simulator/faults.ts';

/** Of all calls this share meets a fault, in percent. */
const percent = 2;
/** These park the account or stop the run, so they strike only once or twice in a day of 43,200 calls. */
const stopping = new Set(['401', '402', '403', 'redirect']);

/** Every fault that the simulator has, as `--faults` wants them: 2 % of the calls together. */
export function allFaults(): string {
  const names = faultNames.map((name) => name.replace('<code>', '1001').replace('<percent>', '50'));
  const weights = names.map((name) => (stopping.has(name) ? 0.05 : 1));
  const whole = weights.reduce((sum, weight) => sum + weight, 0);
  return names.map((name, i) => `${name}=${((percent * (weights[i] ?? 0)) / whole).toFixed(6)}%`).join(',');
}
