import { type buildConnector, Client, type Dispatcher, ProxyAgent } from 'undici';

/** How the API is reached. */
export interface Way {
  /** Scheme, host and port. */
  origin: string;
  /** An http(s) proxy that opens a tunnel to it. */
  proxy: string | undefined;
  /** undici's own connector in place of the usual one, for a certificate of one's own. */
  connect: buildConnector.connector | undefined;
  /** Milliseconds for the connection, TLS included. */
  timeoutMs: number;
}

const longestAnswer = 96 * 1024 * 1024;

// No keep-alive: a socket that idles for a minute is often closed by the server just as the next paid call goes out.
// No time-outs of undici's but the connect's: the call has one deadline of its own.
const oneCall = {
  pipelining: 0,
  allowH2: false,
  headersTimeout: 0,
  bodyTimeout: 0,
  maxResponseSize: longestAnswer,
};

/** A dispatcher for one call: it connects when it is asked to dispatch, once. */
export function createConnection(way: Way): Dispatcher {
  const tcp = { timeout: way.timeoutMs };
  if (way.proxy === undefined) return connectOnce(way.origin, { ...oneCall, connect: way.connect ?? tcp });
  return new ProxyAgent({
    ...oneCall,
    uri: way.proxy,
    proxyTls: tcp,
    requestTls: tcp,
    clientFactory: (origin, options) => connectOnce(origin, { ...options, headersTimeout: way.timeoutMs }),
    factory: connectOnce,
  });
}

/** Behind a proxy that hangs up undici would connect again without an end, and the request would hear nothing of it. */
function connectOnce(origin: string | URL, options: Client.Options): Client {
  const client = new Client(origin, options);
  return client.on('connectionError', (_origin, _targets, error) => void client.destroy(error));
}
