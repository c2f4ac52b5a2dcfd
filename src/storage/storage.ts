/** A file below the output. */
export interface StoredFile {
  /** Path below the output, with `/` between folders. */
  name: string;
  bytes: number;
  /** Epoch milliseconds of the last change. */
  changedMs: number;
}

/** What a file is written from. */
export type Content = string | Buffer | AsyncIterable<string | Buffer> | Iterable<string | Buffer>;

/**
 * Where pictures, records and reports lie: a folder, later a bucket. A name is a path below the output; one that leads
 * out of it (`..`, absolute, through a link) is refused with an `Error`. Whatever fails underneath is thrown as
 * `SurroundingsError`.
 */
export interface Storage {
  /** Absolute; what a job carries so that a worker elsewhere opens the same output. */
  readonly uri: string;
  /** A local folder for answers on their way in. */
  readonly spool: string;
  /** The file's content, or undefined where there is none. */
  read(name: string): Promise<Buffer | undefined>;
  /** `length` bytes from `from`, or fewer at the end. A missing file is an error. */
  readRange(name: string, from: number, length: number): Promise<Buffer>;
  /** Facts about a file, or undefined where there is none. */
  stat(name: string): Promise<StoredFile | undefined>;
  /** Creates a file whole and durably, or returns false because the name is taken: the fence. */
  create(name: string, content: string): Promise<boolean>;
  /** Writes a file durably, replacing what was there in one step: readers see the old or the new one. */
  write(name: string, content: Content): Promise<void>;
  /**
   * Puts a local file's bytes at a free name, durably and in one step, after checking them against `sha256`.
   * @returns false where another file stands there; one with the very same bytes counts as put
   */
  keep(file: string, name: string, sha256: string): Promise<boolean>;
  /** Like `keep`, from another name below the output. @returns also false where the source is gone or has changed */
  copy(from: string, to: string, sha256: string): Promise<boolean>;
  /** sha256 of a file's bytes, or undefined where there is none. */
  hash(name: string): Promise<string | undefined>;
  /**
   * Moves whatever stands at a name to where its content says, though other processes put files there at the same time:
   * nothing is lost, and at every moment it lies somewhere. Nothing there is no error.
   * @throws Error when other content stands at the target
   */
  setAside(name: string, aside: (sha256: string) => string): Promise<void>;
  /** Would a file of this name lie outside the output, because a link stands on its way? */
  leadsOut(name: string): Promise<boolean>;
  /** Files and folders (their names end with `/`) directly in a folder; none where it is missing. */
  list(folder: string): Promise<string[]>;
  /** The same with the time of each one's last change, epoch milliseconds; of a folder: when something in it came or went. */
  dated(folder: string): Promise<{ name: string; changedMs: number }[]>;
  /** When something in a folder last came or went, epoch milliseconds; '' is the output itself. Undefined: it is missing. */
  changedMs(folder: string): Promise<number | undefined>;
  /** Makes a folder look changed durably, as if something in it had come or gone. */
  touch(folder: string): Promise<void>;
  /** The same one by one, for folders of any size. */
  scan(folder: string): AsyncIterable<string>;
}
