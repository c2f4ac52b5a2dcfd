import { once } from 'node:events';
import { request, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import sharp from 'sharp';
import { afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { simulate } from '../../src/commands/simulate.ts';
import { UsageError } from '../../src/errors.ts';
import { parseFaults } from '../../src/simulator/faults.ts';
import { signature } from '../../src/simulator/picture.ts';
import { startSimulator, type Simulator, type SimulatorOptions } from '../../src/simulator/server.ts';

const path = '/openapi/v1/image/gpt-image-2/i2i';
const red = { r: 190, g: 30, b: 40 };

interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: Buffer;
}

interface Asked {
  method?: string;
  path?: string;
  headers?: Record<string, string>;
  body?: string | Buffer;
  signal?: AbortSignal;
}

const running: Simulator[] = [];
let product: string;

beforeAll(async () => {
  // A red square on white, as a catalogue has them.
  const square = await sharp({ create: { width: 160, height: 160, channels: 3, background: red } })
    .png()
    .toBuffer();
  const picture = await sharp({ create: { width: 400, height: 300, channels: 3, background: '#fff' } })
    .composite([{ input: square, left: 120, top: 70 }])
    .png()
    .toBuffer();
  product = picture.toString('base64');
});

afterEach(async () => {
  await Promise.all(running.splice(0).map((simulator) => simulator.close()));
});

async function start(options: SimulatorOptions = {}): Promise<Simulator> {
  const simulator = await startSimulator({ limit: 1000, ...options });
  running.push(simulator);
  return simulator;
}

/** A raw exchange on a fresh connection; rejects when the connection breaks before the answer is whole. */
async function exchange(url: string, asked: Asked): Promise<Answer> {
  const sent = request(url + (asked.path ?? path), {
    method: asked.method ?? 'POST',
    agent: false,
    headers: asked.headers,
    ...(asked.signal ? { signal: asked.signal } : {}),
  });
  // What the client still had to send is of no interest once the answer is there.
  sent.end(asked.body);
  const [response] = await once(sent, 'response');
  const chunks: Buffer[] = [];
  sent.on('error', () => {});
  for await (const chunk of response) chunks.push(chunk);
  return { status: response.statusCode, headers: response.headers, body: Buffer.concat(chunks) };
}

const headersOf = (key: string) => ({
  authorization: `Bearer ${key}`,
  'content-type': 'application/json',
  'user-agent': 'reshoot/1.0.0 (pid 4711)',
});

function edit(simulator: Simulator, fields: object = {}, key = 'sk_live_demo', signal?: AbortSignal) {
  const body = JSON.stringify({ prompt: 'on a wooden table', size: '96x96', image_b64: product, ...fields });
  return exchange(simulator.url, { headers: headersOf(key), body, ...(signal ? { signal } : {}) });
}

const said = (answer: Answer) => JSON.parse(answer.body.toString());
const pictureOf = (answer: Answer) => Buffer.from(said(answer).data[0].b64_json, 'base64');

async function codeOf(failing: Promise<unknown>): Promise<string> {
  return failing.then(
    () => 'none',
    (error: NodeJS.ErrnoException) => error.code ?? error.name,
  );
}

describe('a good call', () => {
  test('gets a JPEG of the size asked and is logged in full', async () => {
    const simulator = await start();
    const answer = await edit(simulator, { size: '300x200', route: 2 });
    expect(answer.status).toBe(200);
    const { created, data } = said(answer);
    expect(Math.abs(created - Date.now() / 1000)).toBeLessThan(60);
    expect(data).toHaveLength(1);
    const facts = await sharp(pictureOf(answer)).metadata();
    expect(facts).toMatchObject({ format: 'jpeg', width: 300, height: 200 });
    expect(facts.exif!.toString('latin1')).toContain(signature);
    expect(simulator.calls).toEqual([
      {
        n: 1,
        at: expect.closeTo(Date.now(), -5),
        account: 'demo',
        route: 2,
        process: '4711',
        row: 'on a wooden table',
        reference: expect.stringMatching(/^[0-9a-f]{64}$/),
        status: 200,
        outcome: 'succeeded',
        charged: true,
        ms: expect.any(Number),
      },
    ]);
    expect([simulator.inFlight, simulator.peakInFlight]).toEqual([0, 1]);
  });

  test('shows the product whole on another ground', async () => {
    const simulator = await start();
    const colours = async (prompt: string) => {
      const answer = await edit(simulator, { prompt, size: '400x300' });
      const { data } = await sharp(pictureOf(answer)).raw().toBuffer({ resolveWithObject: true });
      const at = (x: number, y: number) => [...data.subarray((y * 400 + x) * 3, (y * 400 + x) * 3 + 3)];
      return { middle: at(200, 160), edge: at(112, 70), corner: at(5, 5) };
    };
    const [one, other] = [await colours('on a table'), await colours('on a beach')];
    for (const shown of [one.middle, one.edge, other.middle]) {
      expect(Math.max(...shown.map((value, i) => Math.abs(value - [red.r, red.g, red.b][i]!)))).toBeLessThan(
        12,
      );
    }
    expect(Math.min(...one.corner)).toBeLessThan(220);
    expect(one.corner).not.toEqual(other.corner);
  });

  test('has the pixels of its tier, and takes addresses, motley pictures, single pixels and data: URIs', async () => {
    const simulator = await start();
    const noise = await sharp({
      create: {
        width: 90,
        height: 50,
        channels: 3,
        background: '#888',
        noise: { type: 'gaussian', mean: 128, sigma: 60 },
      },
    })
      .png()
      .toBuffer();
    const dot = await sharp({ create: { width: 1, height: 1, channels: 4, background: '#0000' } })
      .png()
      .toBuffer();
    const asked = [
      [{ size: '1K', ratio: '9:16' }, [720, 1280]],
      [{ image_b64: undefined, image_urls: ['https://example.com/vase.jpg'] }, [96, 96]],
      [{ image_b64: noise.toString('base64') }, [96, 96]],
      [{ image_b64: [`data:image/png;base64,${dot.toString('base64')}`], size: '1x1' }, [1, 1]],
    ] as const;
    for (const [fields, [width, height]] of asked) {
      const answer = await edit(simulator, fields);
      expect(await sharp(pictureOf(answer)).metadata()).toMatchObject({ width, height });
    }
  });

  test('waits its latency, side by side with others, and the caller of each process is told apart', async () => {
    const simulator = await start({ latency: { min: 150, max: 250 } });
    await Promise.all([1, 2, 3].map((n) => edit(simulator, { prompt: `row ${n}` })));
    expect(simulator.peakInFlight).toBe(3);
    for (const { ms } of simulator.calls) expect(ms).toBeGreaterThan(140);
  });
});

describe('what is refused', () => {
  const body = '{}';
  const headers = headersOf('sk_live_demo');
  test.each<[string, Asked, number, string]>([
    ['another address', { path: '/openapi/v1/other', headers, body }, 404, 'unknown_address'],
    ['another method', { method: 'PUT', headers, body }, 405, 'wrong_method'],
    ['no key', { body }, 401, 'bad_key'],
    ['a foreign key', { headers: headersOf('sk_test_demo'), body }, 401, 'bad_key'],
    ['another type', { headers: { ...headers, 'content-type': 'text/plain' }, body }, 415, 'wrong_type'],
    ['a body that is no JSON', { headers, body: '{' }, 400, 'bad_request'],
    ['a missing field', { headers, body }, 400, 'bad_request'],
    [
      'a marker that is none',
      { headers, body: '{"prompt":"[sim:nope]","image_urls":["http://a/"]}' },
      400,
      'bad_marker',
    ],
  ])('%s', async (_, asked, status, outcome) => {
    const simulator = await start();
    const answer = await exchange(simulator.url, asked);
    expect(answer.status).toBe(status);
    expect(said(answer)).toEqual({ code: status, msg: expect.any(String), data: null });
    expect(simulator.calls).toMatchObject([{ status, outcome, charged: false }]);
  });

  test('a picture that does not decode', async () => {
    const simulator = await start({ credits: 1 });
    const broken = Buffer.concat([Buffer.from([0xff, 0xd8, 0xff]), Buffer.alloc(50)]).toString('base64');
    expect((await edit(simulator, { image_b64: broken })).status).toBe(422);
    expect((await edit(simulator)).status).toBe(200);
  });

  test('a body over 40 MB, announced or found out while it comes', async () => {
    const simulator = await start();
    const large = Buffer.alloc(40_000_001, ' ');
    const announced = await exchange(simulator.url, { headers, body: large });
    const chunked = await exchange(simulator.url, {
      headers: { ...headers, 'transfer-encoding': 'chunked' },
      body: large,
    });
    expect([announced.status, chunked.status]).toEqual([413, 413]);
    expect(simulator.calls.map(({ outcome }) => outcome)).toEqual(['too_large', 'too_large']);
  });

  test('calls beyond the credits, which failures do not use up', async () => {
    const simulator = await start({ credits: 2 });
    const prompts = ['[sim:500]', '1', '[sim:402]', '2', '3'];
    const statuses: number[] = [];
    for (const prompt of prompts) statuses.push((await edit(simulator, { prompt })).status);
    expect(statuses).toEqual([500, 200, 402, 200, 402]);
    expect(simulator.calls.map(({ charged }) => charged)).toEqual([false, true, false, true, false]);
  });
});

describe('the limit', () => {
  test('is the account’s over all its keys, slides, and counts refused calls', async () => {
    const simulator = await start({ limit: 3, windowMs: 2500 });
    const status = async (key: string) => (await edit(simulator, {}, key)).status;
    expect([await status('sk_live_a-1'), await status('sk_live_a-2'), await status('sk_live_a')]).toEqual([
      200, 200, 200,
    ]);
    expect([await status('sk_live_a-3'), await status('sk_live_b')]).toEqual([429, 200]);
    await sleep(2550);
    expect(await status('sk_live_a')).toBe(200);
  });

  test('refuses before the body is read, and says Retry-After about every other time', async () => {
    const simulator = await start({ limit: 1, windowMs: 30_000 });
    const large = Buffer.alloc(5_000_000, ' ');
    const answers: Answer[] = [];
    for (let n = 0; n < 21; n++) {
      answers.push(
        await exchange(simulator.url, { headers: headersOf('sk_live_demo'), body: n > 18 ? large : '{}' }),
      );
    }
    expect(answers.slice(1).map(({ status }) => status)).toEqual(Array.from({ length: 20 }, () => 429));
    const told = answers.flatMap(({ headers }) => headers['retry-after'] ?? []);
    expect(told.length).toBeGreaterThan(3);
    expect(told.length).toBeLessThan(17);
    for (const seconds of told) expect(Number(seconds)).toBeGreaterThan(25);
  });

  test('counts a call whose headers are held up when they get through', async () => {
    const delays = [300, 0];
    const simulator = await start({ countAfterMs: () => delays.shift() ?? 0 });
    const late = edit(simulator);
    await vi.waitFor(() => expect(simulator.calls).toHaveLength(1));
    await edit(simulator);
    await late;
    expect(simulator.calls[0]!.at).toBeGreaterThan(simulator.calls[1]!.at);
  });

  test('counts a call when its whole body is there, where it is told to', async () => {
    const simulator = await start({ limit: 1, windowMs: 30_000, counting: 'bucket', countAt: 'body' });
    const early = request(simulator.url + path, {
      method: 'POST',
      headers: { ...headersOf('sk_live_demo'), 'content-length': '2' },
    });
    early.flushHeaders();
    await vi.waitFor(() => expect(simulator.calls).toHaveLength(1));
    expect((await edit(simulator)).status).toBe(200);
    early.end('{}');
    const [answer] = (await once(early, 'response')) as [IncomingMessage];
    answer.resume();
    expect(answer.statusCode).toBe(429);
  });
});

describe('faults by marker', () => {
  test.each([
    ['400', 400],
    ['401', 401],
    ['402', 402],
    ['403', 403],
    ['404', 404],
    ['413', 413],
    ['422', 422],
    ['429', 429],
    ['500', 500],
    ['503-envelope', 503],
    ['policy', 400],
  ])('%s answers with the envelope, free of charge, and once', async (name, status) => {
    const simulator = await start();
    const prompt = `[sim:${name}]`;
    const answer = await edit(simulator, { prompt });
    expect(answer.status).toBe(status);
    expect(said(answer)).toEqual({ code: status, msg: expect.any(String), data: null });
    expect((await edit(simulator, { prompt })).status).toBe(200);
    expect(simulator.calls).toMatchObject([
      { outcome: name, status, charged: false },
      { outcome: 'succeeded', charged: true },
    ]);
  });

  test.each([
    ['502', 502],
    ['503', 503],
    ['504', 504],
    ['520', 520],
    ['403-html', 403],
    ['html', 200],
  ])('%s answers with a page', async (name, status) => {
    const simulator = await start();
    const answer = await edit(simulator, { prompt: `[sim:${name}]` });
    expect(answer).toMatchObject({ status, headers: { 'content-type': 'text/html' } });
    expect(answer.body.toString()).toMatch(/^<html>/);
  });

  test('envelope:<code> is a 200 that is none', async () => {
    const simulator = await start();
    const answer = await edit(simulator, { prompt: '[sim:envelope:1001]' });
    expect([answer.status, said(answer).code]).toEqual([200, 1001]);
  });

  test('useless answers are charged', async () => {
    const simulator = await start();
    const answers: Answer[] = [];
    for (const name of [
      'empty',
      'null',
      'not-image',
      'cut-base64',
      'cut-image:50%',
      'cut-image:99.9%',
      '400',
    ]) {
      answers.push(await edit(simulator, { prompt: `[sim:${name}]`, size: '200x200' }));
    }
    const [empty, none, text, base64, half, nearly] = answers as [
      Answer,
      Answer,
      Answer,
      Answer,
      Answer,
      Answer,
    ];
    expect(said(empty).data).toEqual([]);
    expect(said(none).data).toEqual([{ b64_json: null }]);
    expect(pictureOf(text).toString()).toMatch(/^This is/);
    expect(said(base64).data[0].b64_json.length % 4).toBe(1);
    for (const cut of [half, nearly]) {
      expect([...pictureOf(cut).subarray(0, 3)]).toEqual([0xff, 0xd8, 0xff]);
      await expect(sharp(pictureOf(cut)).raw().toBuffer()).rejects.toThrow();
    }
    expect(simulator.calls.map(({ charged }) => charged)).toEqual([
      true,
      true,
      true,
      true,
      true,
      true,
      false,
    ]);
  });

  test('cut-body breaks off in the middle of an answer with a length', async () => {
    const simulator = await start();
    expect(await codeOf(edit(simulator, { prompt: '[sim:cut-body]' }))).toBe('ECONNRESET');
    expect(simulator.calls).toMatchObject([{ outcome: 'cut-body', status: 200, charged: true }]);
  });

  test('reset and reset-before break the connection; the charge of the one is chance, of the other none', async () => {
    const simulator = await start();
    for (let n = 0; n < 12; n++) {
      expect(await codeOf(edit(simulator, { prompt: `[sim:reset] ${n}` }))).toBe('ECONNRESET');
      expect(await codeOf(edit(simulator, { prompt: `[sim:reset-before] ${n}` }))).toBe('ECONNRESET');
    }
    const charges = (name: string) =>
      new Set(simulator.calls.filter((c) => c.outcome === name).map((c) => c.charged));
    expect(charges('reset')).toEqual(new Set([true, false]));
    expect(charges('reset-before')).toEqual(new Set([false]));
    expect(simulator.calls.every(({ status }) => status === 0)).toBe(true);
  });

  test('hang never answers, and ends when its client goes', async () => {
    const simulator = await start();
    const client = new AbortController();
    const call = codeOf(edit(simulator, { prompt: '[sim:hang]' }, 'sk_live_demo', client.signal));
    await vi.waitFor(() => expect(simulator.calls).toMatchObject([{ row: '[sim:hang]' }]));
    await sleep(100);
    expect(simulator.calls).toMatchObject([{ outcome: 'in_flight' }]);
    expect(simulator.inFlight).toBe(1);
    client.abort();
    expect(await call).toBe('ABORT_ERR');
    await vi.waitFor(() => expect(simulator.calls).toMatchObject([{ outcome: 'hang', status: 0 }]));
  });

  test('redirect leads elsewhere', async () => {
    const answer = await edit(await start(), { prompt: '[sim:redirect]' });
    expect([answer.status, answer.headers.location]).toEqual([307, '/elsewhere']);
  });

  test('a sequence is that of this very prompt and picture, and keeps to its routes', async () => {
    const simulator = await start();
    const status = async (fields: object) => (await edit(simulator, fields)).status;
    const other = await sharp({ create: { width: 9, height: 9, channels: 3, background: red } })
      .png()
      .toBuffer();
    const prompt = '[sim:500,429]';
    expect([await status({ prompt }), await status({ prompt, image_b64: other.toString('base64') })]).toEqual(
      [500, 500],
    );
    expect([await status({ prompt }), await status({ prompt })]).toEqual([429, 200]);
    const dead = { prompt: '[sim:502*@1]' };
    expect([
      await status({ ...dead, route: 1 }),
      await status({ ...dead, route: 2 }),
      await status(dead),
    ]).toEqual([502, 200, 502]);
  });
});

async function outcomesOf(seed: number): Promise<string[]> {
  const simulator = await start({ seed, faults: parseFaults('500=30%,reset-before=20%') });
  for (let n = 0; n < 30; n++) await edit(simulator).catch(() => {});
  return simulator.calls.map(({ outcome }) => outcome);
}

describe('faults by chance', () => {
  test('are the same for the same seed and order', async () => {
    const drawn = await outcomesOf(5);
    expect(await outcomesOf(5)).toEqual(drawn);
    expect(await outcomesOf(6)).not.toEqual(drawn);
    expect(new Set(drawn)).toEqual(new Set(['succeeded', '500', 'reset-before']));
  });

  test('leave a prompt with a marker alone', async () => {
    const simulator = await start({ faults: parseFaults('500=100%') });
    const prompt = '[sim:502]';
    const statuses = [(await edit(simulator, { prompt })).status, (await edit(simulator, { prompt })).status];
    expect([...statuses, (await edit(simulator)).status]).toEqual([502, 200, 500]);
  });
});

describe('clients that go away', () => {
  test('while they wait: the picture is made and charged all the same', async () => {
    const ended: string[] = [];
    const simulator = await start({
      latency: { min: 400, max: 400 },
      onCall: (call) => ended.push(call.outcome),
    });
    const client = new AbortController();
    const call = codeOf(edit(simulator, {}, 'sk_live_demo', client.signal));
    await vi.waitFor(() => expect(simulator.calls).toMatchObject([{ row: 'on a wooden table' }]));
    client.abort();
    expect(await call).toBe('ABORT_ERR');
    await vi.waitFor(() => expect(ended).toEqual(['client_gone']));
    expect(simulator.calls).toMatchObject([{ outcome: 'client_gone', status: 0, charged: true }]);
  });

  test('while they send: nothing is charged', async () => {
    const simulator = await start();
    const headers = { ...headersOf('sk_live_demo'), 'content-length': '1000' };
    expect(
      await codeOf(exchange(simulator.url, { headers, body: '{', signal: AbortSignal.timeout(200) })),
    ).toBe('ABORT_ERR');
    await vi.waitFor(() =>
      expect(simulator.calls).toMatchObject([{ outcome: 'cut_request', charged: false }]),
    );
  });

  test('before their whole request was looked at: nothing is charged', async () => {
    const simulator = await start({ countAfterMs: () => 200 });
    expect(await codeOf(edit(simulator, {}, 'sk_live_demo', AbortSignal.timeout(100)))).toBe('ABORT_ERR');
    await vi.waitFor(() =>
      expect(simulator.calls).toMatchObject([{ outcome: 'cut_request', charged: false }]),
    );
  });

  test('because the simulator is closed', async () => {
    const simulator = await start({ latency: { min: 60_000, max: 60_000 } });
    const call = codeOf(edit(simulator));
    await vi.waitFor(() => expect(simulator.calls).toMatchObject([{ row: 'on a wooden table' }]));
    await simulator.close();
    expect(await call).toBe('ECONNRESET');
    expect(simulator.calls).toMatchObject([{ outcome: 'stopped', charged: false }]);
  });
});

describe('reshoot simulate', () => {
  const options = { port: 0, latency: '0', limit: 30, window: '60s', seed: 1 };

  test('says what it is, prints a line a call and ends with the code of its signal', async () => {
    const written = { out: '', err: '' };
    const io = {
      out: (text: string) => void (written.out += text),
      err: (text: string) => void (written.err += text),
    };
    const stop = new AbortController();
    const code = simulate({ ...options, faults: '500=100%', credits: 3 }, io, stop.signal);
    await vi.waitFor(() => expect(written.err).toMatch(/SPIDERHUBS_BASE_URL=\S+/));
    expect(written.err).toContain("are not the model's");
    expect(written.err).toContain('assumption');
    const url = /SPIDERHUBS_BASE_URL=(\S+)/.exec(written.err)![1]!;
    await exchange(url, {
      headers: headersOf('sk_live_demo'),
      body: JSON.stringify({ prompt: 'a', image_b64: product }),
    });
    await vi.waitFor(() =>
      expect(JSON.parse(written.out)).toMatchObject({ n: 1, outcome: '500', charged: false }),
    );
    stop.abort('SIGTERM');
    expect(await code).toBe(143);
    expect(await simulate(options, io, AbortSignal.abort('SIGINT'))).toBe(130);
  });

  test.each([
    [{ latency: '3s-1s' }, '--latency'],
    [{ latency: 'fast' }, '--latency'],
    [{ latency: '1s-2s-3s' }, '--latency'],
    [{ window: '60' }, '--window'],
    [{ limit: 0 }, '--limit'],
    [{ port: 65_536 }, '--port'],
    [{ seed: 0.5 }, '--seed'],
    [{ credits: -1 }, '--credits'],
    [{ faults: 'nope=1%' }, '--faults'],
  ])('%j is refused by its name', async (wrong, option) => {
    const running = simulate(
      { ...options, ...wrong },
      { out: () => {}, err: () => {} },
      AbortSignal.abort('SIGINT'),
    );
    await expect(running).rejects.toThrow(UsageError);
    await expect(running).rejects.toThrow(option);
  });

  test('a port that is taken is refused by its name', async () => {
    const { url } = await start();
    const taken = simulate(
      { ...options, port: Number(new URL(url).port) },
      { out: () => {}, err: () => {} },
      AbortSignal.abort(),
    );
    await expect(taken).rejects.toThrow(/--port: \d+ is taken/);
  });
});
