import { pino, type DestinationStream, type Logger } from 'pino';

export type Log = Logger;

const unprintable = /[\u007F-\u009F\u061C\u200E\u200F\u2028-\u202E\u2066-\u2069\uFEFF]/g;
const base64 = /[A-Za-z0-9+/]{400,}={0,2}/g;

/**
 * JSON lines on stderr. Whatever a caller hands over, a line holds no key, no picture and no control character.
 */
export function createLog(level: string, secrets: { reveal(): string }[] = [], to?: DestinationStream): Log {
  // As JSON writes them: a key may hold a quote or a backslash.
  const keys = secrets.map((secret) => JSON.stringify(secret.reveal()).slice(1, -1));
  const clean = (line: string): string => {
    let safe = line.replaceAll(base64, (run) => `[${run.length} characters of base64]`);
    for (const key of keys) safe = safe.replaceAll(key, '[redacted]');
    return safe.replaceAll(unprintable, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
  };
  return pino(
    {
      level,
      base: { pid: process.pid },
      timestamp: pino.stdTimeFunctions.isoTime,
      hooks: { streamWrite: clean },
    },
    to ?? pino.destination({ dest: 2, sync: true }),
  );
}
