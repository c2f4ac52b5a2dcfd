/** A call that the simulator refuses for a reason of its own: an HTTP error status with the API's envelope. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly status: number;
  /** The word for it in the log of calls. */
  readonly outcome: string;
  readonly headers: Record<string, string>;

  constructor(status: number, outcome: string, message: string, headers: Record<string, string> = {}) {
    super(message);
    this.status = status;
    this.outcome = outcome;
    this.headers = headers;
  }
}
