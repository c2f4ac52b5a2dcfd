import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import { z } from 'zod';

/** Which process did this: enough to tell later whether it still lives. */
export const ownerSchema = z.object({
  /** Within which its pid means something: the machine, and on Linux the pid namespace. */
  host: z.string(),
  pid: z.number().int(),
  /** When the process started, in the system's own ticks, so that a reused pid is noticed. Unknown outside Linux. */
  started: z.string().optional(),
});

export type Owner = z.infer<typeof ownerSchema>;

const bootTicks = (pid: number): string | undefined => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The name in the second field may hold spaces and brackets: count from behind the last one.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    // A zombie is dead; in a container without an init nobody ever buries it.
    return fields[0] === 'Z' ? undefined : fields[19];
  } catch {
    return undefined;
  }
};

/** Containers may share a host's name without sharing its process numbers. */
const pidNamespace = (): string => {
  try {
    return ` ${readlinkSync('/proc/self/ns/pid')}`;
  } catch {
    return '';
  }
};

const started = bootTicks(process.pid);

/** This process. */
export const self: Owner = {
  host: hostname() + pidNamespace(),
  pid: process.pid,
  ...(started && { started }),
};

/** Which boot of the machine this is: another one than that of before has lost what was not on its disk. Only Linux tells. */
export function bootOf(): string | undefined {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
  } catch {
    return undefined;
  }
}

/** Two descriptions of one process. */
export function isSame(a: Owner, b: Owner): boolean {
  return a.host === b.host && a.pid === b.pid && a.started === b.started;
}

/** Does a process on this host still live? Undefined for one on another host: only its heartbeat can tell. */
export function livesHere(owner: Owner): boolean | undefined {
  if (owner.host !== self.host) return undefined;
  if (owner.started !== undefined) return bootTicks(owner.pid) === owner.started;
  try {
    process.kill(owner.pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
