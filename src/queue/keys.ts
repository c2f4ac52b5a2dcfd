/** Names a key of the desk; all share one hash tag, so that one script may touch them on a cluster. */
export type DeskKey = (...parts: string[]) => string;

export const deskKeys =
  (namespace: string): DeskKey =>
  (...parts) =>
    [`{${namespace}}`, ...parts].join(':');
