/** Ends a transaction of the store early, for a reason that is no failure: it passes through unchanged. */
export abstract class Retreat extends Error {}
