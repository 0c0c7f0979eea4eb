/**
 * The version both sides must share; a request with another one is answered `needs_upgrade`.
 * Adding an optional property that an older reader may ignore keeps the version; anything else raises it.
 */
export const PROTOCOL_VERSION = 2

/** What changed with each version. */
export const PROTOCOL_HISTORY: { readonly [version: number]: string } = {
  1: 'First version: push with parts and force, pull, hydrate, read, schema, batch, status, devices.',
  2: 'A hydrate tells at which version its rows were read, and a cursor what state its pages were read from.',
}
