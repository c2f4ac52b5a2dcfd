/** The ten steps of a call's way, in the order that makes a crash at any of them harmless. */
export const steps = [
  'looked up',
  'read',
  'slot taken',
  'record opened',
  'sent',
  'spooled',
  'verified',
  'record closed',
  'kept',
  'settled',
] as const;
export type Step = (typeof steps)[number];
