/** reshoot as a library: the same commands, with your own terminal. Importing it does nothing. */
export { main } from './cli.ts';
export type { Io } from './commands/io.ts';
export { codes, exitCodes, type ErrorCode, type ExitCode } from './errors.ts';
export { startSimulator, type Simulator, type SimulatorOptions } from './simulator/server.ts';
