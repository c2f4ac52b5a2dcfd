import type { SimulatedCall } from '../../src/simulator/call-log.ts';

/** Files by their names below a folder. */
export type Files = ReadonlyMap<string, Buffer>;

/** A command that was started, and how it ended. */
export interface Command {
  args: readonly string[];
  pid: number;
  /** Both are null where the test's end ended it. */
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
  /** From its start to its end, in milliseconds. */
  ms: number;
  /** What the test sent it, and how long before its end, in milliseconds. */
  signals: readonly { name: NodeJS.Signals; beforeEndMs: number }[];
  /** It was told to kill itself, or its end came with the test's. */
  killed: boolean;
  /** Resident megabytes and open handles at most, as far as they were seen. */
  peakMb?: number;
  handles?: number;
}

/** A manifest as it lies there. */
export interface ManifestFile {
  text: string;
  /** When it was last changed, epoch milliseconds. */
  changedMs: number;
}

/** All that is left when everything has ended, unjudged. */
export interface Scene {
  /** What lies below each output, by the output's folder. */
  outputs: ReadonlyMap<string, Files>;
  /** What else may not tell a secret: the state folder. */
  state: Files;
  /** Values by their keys, of a Redis that the commands were told of; empty where it is gone. */
  redis: Files;
  /** With which all keys in it begin. */
  namespace: string;
  /** By the names that runs call them by. */
  manifests: ReadonlyMap<string, ManifestFile>;
  /** The API's own log. */
  api: readonly SimulatedCall[];
  /** The API's limit on each account's calls; `slackMs` is what delivery may move them together in a window. */
  limit: { calls: number; windowMs: number; slackMs: number };
  /** In the order of their starts. */
  commands: readonly Command[];
  /** API keys that were given to commands. */
  secrets: readonly string[];
}

/**
 * What must be so: I1 to I11, and D6, that records and plans suffice and hold no picture. Of the design's seven, 1 is I1,
 * 2 is I4, 3 is I3 and I7, 4 is I2, 5 is I10, 6 is D6 and I8, 7 is I5 and I6.
 */
export type Invariant = 'I1' | 'I2' | 'I3' | 'I4' | 'I5' | 'I6' | 'I7' | 'I8' | 'I9' | 'I10' | 'I11' | 'D6';

export interface Violation {
  invariant: Invariant;
  said: string;
}
