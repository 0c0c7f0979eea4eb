import { HEADERS, ROUTES } from '../../../src/protocol/routes.ts'
import type { HttpCase, RouteName } from './http-case.ts'
import { LEAK } from './leak.ts'
import {
  countNames,
  countValues,
  double,
  exchangeValue,
  RAW_NAMES,
  RAW_VALUES,
  rename,
} from './spoil-text.ts'

const CURSOR = '{"epoch":"@epoch","generation":"@generation","version":0,"high":0,"read":0}'
const CHANGE =
  '{"table":"city","key":"[9]","op":"put","base":0,"hlc":1000,"fields":{"id":9,"name":"x","list":[1]},' +
  '"claims":{"name(name)":"\\"b\\"","other":null},"was":0,"sealed":"k"}'
const COLUMNS =
  '[{"name":"id","type":"INTEGER","notNull":true,"collation":"NOCASE","default":"1"},' +
  '{"name":"twice","type":"","generated":{"as":"id*2","stored":false}}]'
const TERMS = '[{"column":"id","collation":"NOCASE","descending":true},{"expression":"lower(id)"}]'
const TABLE =
  `{"name":"new","columns":${COLUMNS},"key":["id"],"keyCollations":["NOCASE"],"rowidAlias":true,` +
  `"unique":[{"claim":"c","terms":${TERMS},"where":"id>1","index":"i"}],` +
  `"indexes":[{"name":"j","terms":[{"column":"id"}],"where":"id>2"}],` +
  '"foreignKeys":[{"columns":["id"],"table":"city","references":["id"],"onDelete":"CASCADE","deferred":true}],' +
  '"checks":["id>0"]}'

/** For each route with a body, requests that are in order and have every property that there is. */
const WHOLE: { readonly [R in RouteName]?: readonly string[] } = {
  push: [
    `{"space":"main","replica":"@replica","mutation":1,"cursor":${CURSOR},"force":true,"changes":[${CHANGE}]}`,
    `{"space":"main","replica":"@replica","mutation":1,"cursor":null,"part":{"index":0,"of":2,"attempt":"a"},"changes":[]}`,
  ],
  pull: [`{"space":"main","replica":"@replica","cursor":${CURSOR},"limit":10,"tables":["city"],"wait":0}`],
  read: ['{"space":"main","records":[{"table":"city","key":"[1]"}]}'],
  batch: [
    '{"city":[{"id":5,"name":"x","updated_at":"2026-01-01T00:00:00Z","list":[1]}],"sync_timestamp":"2026-01-01T00:00:00Z"}',
  ],
  putSchema: [`{"space":"main","replica":"@replica","tables":[${TABLE}]}`],
  registerDevice: ['{"id":"tablet","name":"Tablet","platform":"ios"}'],
  renameDevice: ['{"name":"Renamed"}'],
}

/** For each parameter of an address, the address without its value. */
const ADDRESSES: readonly (readonly [route: RouteName, before: string, after: string])[] = [
  ['status', '/sync/status?space=', ''],
  ['status', '/sync/status?space=main&', '=main'],
  ['schema', '/sync/schema?space=', ''],
  ['hydrate', '/sync/hydrate?space=', '&replica=replica-q'],
  ['hydrate', '/sync/hydrate?space=main&replica=', ''],
  ['hydrate', '/sync/hydrate?space=main&replica=replica-q&tables=', ''],
  ['hydrate', '/sync/hydrate?space=main&replica=replica-q&tables=city&tables=', ''],
  ['renameDevice', '/sync/devices/', ''],
  ['deregisterDevice', '/sync/devices/', ''],
]

const ODD_VALUE = encodeURIComponent(LEAK)
const ODD_TEXTS = [
  '',
  '%00',
  'a%00b',
  '%ff',
  '%ed%a0%80',
  '%f0%9f%98%80',
  '%zz',
  '\u00e9',
  '+',
  '%27%20OR%201=1--',
  '__proto__',
  'constructor',
  '%2e%2e%2f',
  'x'.repeat(65),
  'x'.repeat(129),
  'x'.repeat(513),
  'x'.repeat(8_000),
  ODD_VALUE,
]

/** What the header says where a broken hydrate goes on. */
const RESUMES = [
  '{"head":1,"table":"city","key":"[1]"}',
  '{"head":1,"table":"city","key":"[1]","x":1}',
  '{"head":1,"table":"city"}',
  '{"head":-1,"table":"city","key":"[1]"}',
  '{"head":9007199254740993,"table":"city","key":"[1]"}',
  '{"head":1e308,"table":"city","key":"[1]"}',
  '{"head":"1","table":"city","key":"[1]"}',
  '{"head":1,"table":["city"],"key":"[1]"}',
  '{"head":1,"table":"","key":"[1]"}',
  '{"head":1,"table":"\\u0000","key":"[1]"}',
  '{"head":1,"table":"city","key":"[\\ud800"}',
  `{"head":1,"table":"city","key":"${'x'.repeat(1_025)}"}`,
  '{"__proto__":{"head":1,"table":"city","key":"[1]"}}',
  'null',
  '[]',
  '"x"',
  '',
  '{',
  '['.repeat(5_000),
]

/**
 * Requests that are in order but for one thing, every one thing in turn. `some` of each kind are enough for a short
 * run; 0: only what a storage may stumble over.
 */
export function* sweep(some: number): Generator<HttpCase> {
  for (const [route, texts] of Object.entries(WHOLE) as [RouteName, readonly string[]][]) {
    for (const text of texts) {
      for (const spoiled of spoiledTexts(text, some)) yield bodyCase(route, spoiled)
    }
  }
  for (const [route, before, after] of ADDRESSES)
    for (const odd of ODD_TEXTS) {
      // An error may name the parameter that is wrong.
      if (after === '=main' && odd === ODD_VALUE) continue
      yield addressCase(route, before + odd + after)
    }
  const hydrate = addressCase('hydrate', '/sync/hydrate?space=main&replica=replica-q')
  for (const text of RESUMES)
    for (const encoding of ['base64url', 'latin1'] as const) {
      const place = encoding === 'latin1' ? text : Buffer.from(text).toString(encoding)
      yield { ...hydrate, headers: [[HEADERS.resume, place]] }
    }
}

function* spoiledTexts(text: string, some: number): Generator<string> {
  const few = (all: readonly string[]): readonly string[] =>
    all.filter((value, at) => CHARACTERS.has(value) || at % Math.ceil(all.length / some) === 0)
  yield text
  for (const value of few(RAW_VALUES))
    for (let turn = 0; turn < countValues(text); turn++) yield exchangeValue(value)(text, turn)
  for (const name of few(RAW_NAMES))
    for (let turn = 0; turn < countNames(text); turn++) yield rename(name)(text, turn)
  if (some === 0) return
  for (let turn = 0; turn < countNames(text); turn++)
    for (const value of ['null', '[]', '"x"'])
      for (const first of [true, false]) yield double(value, first)(text, turn)
  for (const shorter of withoutEach(JSON.parse(text))) yield JSON.stringify(shorter)
  for (const odd of few(RAW_VALUES)) yield odd
}

/** What a storage may stumble over, where JSON does not: in no run are these left out. */
const CHARACTERS = new Set(['"a\\u0000b"', '"\\ud800"', '"\\u0000"', '9007199254740993'])

/** The value without each of its properties and items, at any depth, in turn. */
function* withoutEach(value: unknown): Generator {
  if (typeof value !== 'object' || value === null) return
  const isList = Array.isArray(value)
  for (const [name, part] of Object.entries(value as { readonly [name: string]: unknown })) {
    const others = Object.entries(value).filter(([other]) => other !== name)
    yield isList ? others.map(([, item]) => item as unknown) : Object.fromEntries(others)
    for (const shorter of withoutEach(part))
      yield isList
        ? Object.values(Object.assign([...(value as unknown[])], { [name]: shorter }))
        : { ...value, [name]: shorter }
  }
}

const base = (route: RouteName) => ({
  route,
  front: 'http1' as const,
  method: ROUTES[route].method,
  token: 'all' as const,
  delivery: 'whole' as const,
})
const JSON_TYPE: HttpCase['headers'] = [['content-type', 'application/json']]

const bodyCase = (route: RouteName, text: string): HttpCase => ({
  ...base(route),
  path: ROUTES[route].path.replace(':id', 'laptop'),
  headers: JSON_TYPE,
  body: { kind: 'text', text, charset: 'utf8', packs: [] },
})

const addressCase = (route: RouteName, path: string): HttpCase => ({
  ...base(route),
  path,
  headers: route === 'renameDevice' ? JSON_TYPE : [],
  body:
    route === 'renameDevice'
      ? { kind: 'text', text: '{"name":"Renamed"}', charset: 'utf8', packs: [] }
      : null,
})
