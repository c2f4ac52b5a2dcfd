/** Decodes one picture a message for `src/image/verify.ts`: a picture that kills its decoder kills this process only. */
import { createDecoder } from '../src/image/decode.ts';

const decode = createDecoder();

// A signal to the whole group means the parent, which still waits for its calls; this process goes when the parent does.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));

process.on('message', (file: string) => {
  void decode(file).then((verdict) => process.send?.(verdict));
});
process.send?.('ready');
