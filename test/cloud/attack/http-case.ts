import {
  brotliCompressSync,
  constants,
  deflateSync,
  gzipSync,
  zstdCompressSync,
  type InputType,
} from 'node:zlib'

import type { ROUTES } from '../../../src/protocol/routes.ts'

export type RouteName = keyof typeof ROUTES
export type Pack = 'gzip' | 'zstd' | 'br' | 'deflate'

/** One request as plain data, so that it can be printed, kept and sent again. */
export interface HttpCase {
  /** The route it was made from; its address and method may be another's. */
  readonly route: RouteName
  /** HTTP/1.1 as bytes over a socket, or HTTP/2. */
  readonly front: 'http1' | 'http2'
  readonly method: string
  /** Each character is a byte. */
  readonly path: string
  readonly token: TokenKind
  /** Besides token, length and encoding; a name may stand several times. Each character is a byte. */
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly body: CaseBody | null
  readonly delivery: Delivery
}

export type TokenKind = (typeof TOKEN_KINDS)[number]
export const TOKEN_KINDS = [
  'all',
  'read',
  'write',
  'devices',
  'bound',
  'elsewhere',
  'theirs',
  'revoked',
  'wrong',
  'none',
] as const

export type CaseBody =
  | {
      readonly kind: 'text'
      /** With the placeholders of `fillPlaces`. */
      readonly text: string
      readonly charset: 'utf8' | 'latin1' | 'utf16le' | 'broken'
      /** Compressed in this order. */
      readonly packs: readonly Pack[]
    }
  | { readonly kind: 'bytes'; readonly base64: string }
  | { readonly kind: 'bomb'; readonly packs: readonly Pack[] }

/**
 * How the body arrives: whole, in pieces or chunks; never whole (stalled, cut); or with a length that is not its own.
 */
export type Delivery = (typeof DELIVERIES)[number]
export const DELIVERIES = [
  'whole',
  'pieces',
  'chunked',
  'stalled',
  'cut',
  'chunk cut',
  'no chunk',
  'too short',
  'two lengths',
] as const

/** Deliveries after which the connection is no longer in step, by the sender's fault. */
export const isOutOfStep = (delivery: Delivery): boolean => !['whole', 'pieces', 'chunked'].includes(delivery)

/** What a chance text cannot hit: the history of the cloud at hand, and a replica that has not pushed yet. */
export interface Places {
  readonly epoch: string
  readonly generation: string
  readonly replica: string
}

const fillPlaces = (text: string, places: Places): string =>
  text
    .replaceAll('@epoch', places.epoch)
    .replaceAll('@generation', places.generation)
    .replaceAll('@replica', places.replica)

/** The bytes of the body, null when there is none. */
export function bodyBytes(body: CaseBody | null, places: Places): Buffer | null {
  if (body === null) return null
  if (body.kind === 'bytes') return Buffer.from(body.base64, 'base64')
  if (body.kind === 'bomb') return bombOf(body.packs)
  return packAll(encode(fillPlaces(body.text, places), body.charset), body.packs)
}

/** The encoding that the body has. */
export const encodingOf = (body: CaseBody | null): string | null =>
  body === null || body.kind === 'bytes' || body.packs.length === 0 ? null : body.packs.join(', ')

function encode(text: string, charset: 'utf8' | 'latin1' | 'utf16le' | 'broken'): Buffer {
  if (charset !== 'broken') return Buffer.from(text, charset)
  // A surrogate as three bytes, in the middle: no UTF-8, although some decoders take it.
  const bytes = Buffer.from(text)
  const middle = bytes.length >> 1
  return Buffer.concat([bytes.subarray(0, middle), Buffer.from([0xed, 0xa0, 0x80]), bytes.subarray(middle)])
}

const PACKERS: { readonly [P in Pack]: (bytes: InputType) => Buffer } = {
  gzip: gzipSync,
  zstd: zstdCompressSync,
  br: (bytes) => brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } }),
  deflate: deflateSync,
}

const packAll = (bytes: Buffer, packs: readonly Pack[]): Buffer =>
  packs.reduce((packed, pack) => PACKERS[pack](packed), bytes)

/** More than a body may become. */
const BOMB_BYTES = 40 * 1024 * 1024
const bombs = new Map<string, Buffer>()

function bombOf(packs: readonly Pack[]): Buffer {
  const name = packs.join()
  const known = bombs.get(name)
  if (known !== undefined) return known
  const bomb = packAll(Buffer.alloc(BOMB_BYTES, ' '), packs)
  bombs.set(name, bomb)
  return bomb
}
