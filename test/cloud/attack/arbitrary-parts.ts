import fc, { type Arbitrary } from 'fast-check'

import { HEADERS } from '../../../src/protocol/routes.ts'
import { LEAK } from './leak.ts'

/** Pieces of chance requests, to whichever server. */

/** `value` in one of `times` cases, else `usual`. */
export const rarely = <T>(times: number, usual: Arbitrary<T>, value: Arbitrary<T>): Arbitrary<T> =>
  fc.oneof({ weight: times - 1, arbitrary: usual }, { weight: 1, arbitrary: value })

/** Bytes as characters; none that ends a line. */
export const byteText = (maxLength: number): Arbitrary<string> =>
  fc.string({
    unit: fc
      .integer({ min: 0, max: 0xff })
      .filter((code) => code !== 0x0a && code !== 0x0d)
      .map((code) => String.fromCharCode(code)),
    maxLength,
  })

export const encoded = (text: Arbitrary<string>): Arbitrary<string> =>
  text.map((value) => encodeURIComponent(value.toWellFormed()))

export const oddSegment = fc.oneof(
  fc.constantFrom(
    '',
    '.',
    '..',
    '%00',
    '%2e%2e',
    '%2f',
    '%ff',
    '%ed%a0%80',
    '%zz',
    '%',
    '*',
    ':id',
    '__proto__',
    'constructor',
    'a b',
    'a%20b',
    'laptop/',
    'laptop;x=1',
    'x'.repeat(65),
    'x'.repeat(9_000),
    encodeURIComponent(LEAK),
    '\u00e9',
    '\u0000',
    '\u0001',
    '\u007f',
    '"<>\\^`{|}',
  ),
  fc.webSegment(),
  byteText(12),
)

/** Names of headers that mean something to some server. */
export const headerName = fc.constantFrom(
  ...Object.values(HEADERS),
  'accept-encoding',
  'accept',
  'authorization',
  'content-encoding',
  'content-type',
  'cookie',
  'connection',
  'expect',
  'origin',
  'range',
  'te',
  'upgrade',
  'x-forwarded-for',
  'x-http-method-override',
  'x-request-id',
  'if-none-match',
)
export const headerValue = fc.oneof(
  byteText(20),
  fc.constantFrom(
    '',
    '1',
    '2',
    'gzip',
    'br',
    'zstd;q=1, gzip;q=0',
    'gzip, gzip',
    'application/json',
    'application/json; charset=utf-16',
    'application/json; charset=iso-8859-1',
    'application/json; charset="utf-8',
    'application/json, text/html',
    'text/plain',
    'multipart/form-data',
    'phone',
    'laptop',
    'gone',
    '__proto__',
    '100-continue',
    'close',
    'upgrade',
    'h2c',
    'bytes=0-1',
    'DELETE',
    LEAK,
    'x'.repeat(600),
    'x'.repeat(20_000),
    Buffer.from('{"head":0,"table":"city","key":"[1]"}').toString('base64url'),
    Buffer.from('{"head":9007199254740993,"table":"\\u0000","key":"\\ud800]"}').toString('base64url'),
    Buffer.from('['.repeat(9_000)).toString('base64url'),
  ),
)

export const anyMethod = fc.constantFrom(
  'GET',
  'POST',
  'PUT',
  'PATCH',
  'DELETE',
  'HEAD',
  'OPTIONS',
  'TRACE',
  'SEARCH',
)

/** What may be done to an address that a program would not. */
export const wildAddress = fc.constantFrom<(path: string) => string>(
  (path) => `/${path}`,
  (path) => `${path}/`,
  (path) => `${path}#x`,
  (path) => `http://localhost${path}`,
  (path) => path.slice(1),
  (path) => path.toUpperCase(),
  (path) => path.replace('s', '%73'),
  (path) => `/./x/..${path}`,
  () => '*',
)
