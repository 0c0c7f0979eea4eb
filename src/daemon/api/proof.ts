import { createHmac, timingSafeEqual } from 'node:crypto'

/**
 * How a program knows that it is the daemon that answers, before it shows the token: another program may have taken
 * the port since. It sends chance in a header with `GET /health`; who has the token answers with a proof over that and
 * the port that was asked, so that a proof that was fetched from the daemon at its new port proves nothing.
 */
export const CHALLENGE_HEADER = 'tidemark-challenge'
export const PROOF_HEADER = 'tidemark-proof'

const CHALLENGE = /^[A-Za-z0-9_-]{22,128}$/

/** Null: this is no challenge. */
export function proveToken(token: string, challenge: string, port: number): string | null {
  if (!CHALLENGE.test(challenge)) return null
  return createHmac('sha256', token).update(`tidemark daemon\n${port}\n${challenge}`).digest('hex')
}

export function isProof(proof: string | null, token: string, challenge: string, port: number): boolean {
  const right = Buffer.from(proveToken(token, challenge, port) ?? '')
  const shown = Buffer.from(proof ?? '')
  return right.length > 0 && shown.length === right.length && timingSafeEqual(shown, right)
}
