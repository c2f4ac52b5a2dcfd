import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { printable } from '../cells.ts';
import { exitCodes, SurroundingsError, systemCode, toError, UsageError, type ExitCode } from '../errors.ts';
import type { Io } from './io.ts';

/** With the mark and the line ends that let spreadsheets read it; its pictures' names say that they are yours to put in. */
const manifest = [
  '\uFEFFid,image,prompt,size,ratio',
  'example-1,photos/your-picture-1.jpg,"The same product on plain white, soft shadow",,',
  'example-2,photos/your-picture-2.jpg,"The same product on a wooden table, morning light",,4:3',
  '',
].join('\r\n');

const config = `# Settings of reshoot in this folder. An option on the command line wins over its line here.
# Take away the # before a line to use it. Texts that hold : # { } [ ] stand in quotation marks.
# Keys have no place here: they belong into .env.

# Where pictures, records and the report go.
#output: out
# The pictures' names below it; columns of the manifest in braces.
#name: "{id}.{ext}"

# Which column of your manifest is which, where they have names of their own.
#map:
#  id: SKU
#  image: Image Src
# Where the manifest's relative pictures start; the manifest's own folder unless told.
#image-root: photos
# How a manifest that isn't Unicode is to be read: gb18030, shift_jis, windows-1252 ...
#encoding: windows-1252
# csv, tsv or jsonl, where the file's name doesn't say it.
#format: csv

# For rows without a prompt of their own; columns in double braces.
#prompt: "Studio photo of {{Title}} on plain white"
# 1K, 2K, 4K or such as 1024x1024.
#size: 2K
# 1:1, 16:9, 9:16, 4:3 or 3:4.
#ratio: 1:1
# 1 or 2: two suppliers; the same prompt can look different.
#route: 1

# Never pay more credits than this in one run.
#max-credits: 100
# Never pay more credits than this for an account in a day, over all runs that are started with it; and whose day.
#maxCreditsPerDay: 500
#timeZone: Europe/Berlin
# What a credit costs, so that it is said in money too.
#creditPrice: 0.04 USD
# Calls for a row at most, when it fails.
#max-attempts: 4
# Further calls that may be paid, for all rows together: this share of the rows chosen, plus 10.
#retry-budget: 10%
# A call that was cut off may have been paid: retry it, or hold the row until you decide.
#on-unknown: hold
# Stop when this share of at least 20 finished rows failed.
#halt: fail=10%
# How long one call may take.
#timeout: 300s
# Calls in flight on this machine.
#concurrency: auto
# Leave out rows that the manifest gets wrong, and do the others.
#skip-invalid: true
`;

const secrets = `# reshoot reads this file in the folder where it is started. Keep it to yourself, and out of git: it holds your key.
# Write the key behind the = without spaces or quotation marks.
SPIDERHUBS_API_KEY=
`;

interface StarterFile {
  name: string;
  content: string;
  /** What it is for, for the one who finds it. */
  about: string;
  /** Readable by its owner alone. */
  isSecret?: true;
}

const files: StarterFile[] = [
  { name: 'manifest.csv', content: manifest, about: 'a line a picture: replace the two examples' },
  { name: 'reshoot.yaml', content: config, about: 'settings, all switched off and explained' },
  { name: '.env', content: secrets, about: 'the place for your key, readable by you alone', isSecret: true },
];

/**
 * Writes a starter manifest, its configuration and a place for the key; a file that is there stays as it is.
 * @throws UsageError when the folder is none, SurroundingsError when it can't be written
 */
export async function init(folder: string, io: Io): Promise<ExitCode> {
  await makeFolder(folder);
  const lines: string[] = [];
  for (const file of files) {
    const isNew = await writeNew(join(folder, file.name), file);
    lines.push(`  ${file.name.padEnd(14)}${isNew ? file.about : 'was there already; left as it is'}`);
  }
  io.out(`${printable(folder)}:\n${lines.join('\n')}\n${nextSteps(folder)}`);
  return exitCodes.ok;
}

async function makeFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true });
  } catch (error) {
    const code = systemCode(error) ?? '';
    if (code === 'EEXIST' || code === 'ENOTDIR') {
      throw new UsageError(`${printable(folder)} is no folder: name another one`);
    }
    throw unwritable(folder, error);
  }
}

/** False: something of this name is there. */
async function writeNew(path: string, { content, isSecret }: StarterFile): Promise<boolean> {
  try {
    await writeFile(path, content, { flag: 'wx', mode: isSecret ? 0o600 : 0o666 });
    return true;
  } catch (error) {
    if (systemCode(error) === 'EEXIST') return false;
    throw unwritable(path, error);
  }
}

const unwritable = (path: string, error: unknown): SurroundingsError =>
  new SurroundingsError(
    `${printable(path)} cannot be written (${printable(toError(error).message)}): check the rights and the room on the disk`,
  );

function nextSteps(folder: string): string {
  const goThere = folder === '.' ? '' : `  cd ${quoted(folder)}\n`;
  return `
Next: put your pictures into photos/ and write a line for each into manifest.csv. Then
${goThere}  reshoot check manifest.csv                   says what is wrong and what it would cost; spends nothing
Write your key into .env (and .env into .gitignore, where there is a git). Then
  reshoot run manifest.csv -o out --limit 3    does the first three
`;
}

/** As a shell reads it. */
const quoted = (path: string): string =>
  /^[\w./~-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
