/** What records need of the storage they lie in; `Storage` fits. */
export interface RecordFiles {
  read(name: string): Promise<Buffer | undefined>;
  readRange(name: string, from: number, length: number): Promise<Buffer>;
  stat(name: string): Promise<{ changedMs: number; bytes: number } | undefined>;
  create(name: string, content: string): Promise<boolean>;
  write(
    name: string,
    content: string | AsyncIterable<string | Buffer> | Iterable<string | Buffer>,
  ): Promise<void>;
  list(folder: string): Promise<string[]>;
  touch(folder: string): Promise<void>;
  dated(folder: string): Promise<{ name: string; changedMs: number }[]>;
}
