/** What a command may touch of the terminal; tests hand over their own. */
export interface Io {
  /** Results: standard output. */
  out(text: string): void;
  /** Progress and talk: standard error. */
  err(text: string): void;
  /** Aborted with reason `SIGINT` or `SIGTERM` by the first signal. */
  stop: AbortSignal;
  /** Asks a person; undefined when there is nobody to ask. */
  ask: ((question: string) => Promise<string>) | undefined;
}
