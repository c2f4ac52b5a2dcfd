/** Decodes one picture a message for `src/image/verify.ts`, `thumbnail.ts` and `preparer.ts`: a picture that kills its decoder kills this process only. */
import { createDecoder, type Request } from '../src/image/decode.ts';

const answer = createDecoder();

// A signal to the whole group means the parent, which still waits for its calls; this process goes when the parent does.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));

process.on('message', (request: Request) => {
  void answer(request).then((said) => process.send?.(said));
});
process.send?.('ready');
