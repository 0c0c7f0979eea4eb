import { createHash, randomBytes } from 'node:crypto'

/** What every token begins with, so that one that leaks into a text is found by scanners. */
const PREFIX = 'tm_'
const SECRET_BYTES = 32

export const newToken = (): string => `${PREFIX}${randomBytes(SECRET_BYTES).toString('base64url')}`

/**
 * SHA-256 in hex: all that is kept of a token. Looking one up by it takes a time that says nothing of the token:
 * whoever guesses cannot choose the hash. 32 random bytes need no slow hash.
 */
export const hashToken = (token: string): string => createHash('sha256').update(token).digest('hex')
