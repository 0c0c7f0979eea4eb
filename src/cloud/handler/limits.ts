/** What the handler allows; counts unless named otherwise. */
export interface HandlerLimits {
  /** Long polls that one token may hold open at the same time. */
  readonly pollsPerToken: number
  /** Long polls of all tokens together. */
  readonly polls: number
  /** Records of one page of a hydrate. */
  readonly hydratePage: number
}

export const HANDLER_LIMITS: HandlerLimits = { pollsPerToken: 256, polls: 20_000, hydratePage: 1_000 }

/**
 * Bytes of a push that are parsed before their structure is looked at, the depth of the values after: no body of so
 * many can have more elements than may be, and a bulk upload is made of such.
 */
export const PUSH_UNLOOKED_BYTES = 2 * 1024 * 1024
/** Characters of a bearer token; ours have 43 and a prefix. */
export const MAX_TOKEN_CHARS = 512
