/** What a command may touch of the terminal; tests hand over their own. */
export interface Io {
  /** Results: standard output. */
  out(text: string): void;
  /** Progress and talk: standard error. */
  err(text: string): void;
  /**
   * Aborted with reason `SIGINT` or `SIGTERM` by the first signal; the second ends the process at once, as the first
   * does where nobody has asked for this.
   */
  stop: AbortSignal;
  /** Asks a person; undefined when there is nobody to ask. */
  ask: ((question: string) => Promise<string>) | undefined;
  /** The terminal behind `err`; none: what is told goes to a file, a pipe or a test. */
  terminal?: Terminal | undefined;
}

export interface Terminal {
  stream: NodeJS.WriteStream;
  /** Whoever draws on the terminal gets what `err` is told, whole lines; undefined gives it back. */
  lend(write: ((text: string) => void) | undefined): void;
}
