#!/usr/bin/env node
import { processIo } from '../src/commands/process-io.ts';
import { main } from '../src/cli.ts';

process.exitCode = await main(['worker', ...process.argv.slice(2)], processIo());
