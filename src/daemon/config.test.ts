import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it, test } from 'vitest'

import { systemClock } from '../kernel/clock.ts'
import { TidemarkError } from '../kernel/errors.ts'
import { systemRandom } from '../kernel/random.ts'
import { homeFolders, type Folders } from '../machine/folders.ts'
import { openConfig } from './config.ts'
import { addProfile, listProfiles, removeProfile, useProfile } from './profiles.ts'
import { addAttachment } from './attachments.ts'

const ENDPOINT = 'https://cloud.example'

let folder: string
let folders: Folders
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tidemark-config-'))
  folders = homeFolders(folder)
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const config = (profile?: string, env = {}) => openConfig(folders, env, profile)
const write = (bytes: string | Uint8Array): void => writeFileSync(folders.config, bytes)
const read = (): string => readFileSync(folders.config, 'utf8')
const failureOf = (work: () => unknown): TidemarkError => {
  try {
    work()
  } catch (error) {
    if (error instanceof TidemarkError) return error
    throw error
  }
  throw new Error('nothing was thrown')
}

/** A person's file: order, form and what we do not know are theirs. */
const OWN = `{
  "mine": {"b": 1.50, "a": 12345678901234567890, "\\ud800": "\\u0000"},
  "profiles": {
    "work": { "endpoint": "https://work.example", "later": [1e400, {}] },
    "default": {}
  },
  "active_profile": "work"
}`

describe('D9: any bytes in the file give a clear error or work', () => {
  /** Files as they are written, and what becomes of them: cut, a byte changed, put twice, in another encoding. */
  const valid = fc.oneof(
    fc.constant(OWN),
    fc
      .record({
        profiles: fc.dictionary(
          fc.constantFrom('default', 'work', '__proto__', 'constructor', 'a b'),
          fc.dictionary(
            fc.constantFrom('endpoint', 'sync_interval', 'token', '__proto__', 'toString', 'mine'),
            fc.oneof(fc.jsonValue(), fc.constantFrom(ENDPOINT, 30, 'x', null, true)),
            { noNullPrototype: true },
          ),
          { noNullPrototype: true },
        ),
        active_profile: fc.constantFrom('default', 'work', '__proto__', 'a b'),
      })
      .map((file) => JSON.stringify(file, null, 2)),
  )
  const mutated = fc
    .tuple(
      valid,
      fc.nat(),
      fc.nat(6),
      fc.constantFrom(',', '"', '{', '}', '[', '\\', '/*x*/', '\u0000', '\r\n', '1', ':', '\uFEFF', '\u2028'),
    )
    .map(([text, at, how, put]) => {
      const bytes = Buffer.from(text)
      const place = at % (bytes.length + 1)
      const [head, tail] = [bytes.subarray(0, place), bytes.subarray(place)]
      if (how === 0) return head
      if (how === 1) return Buffer.concat([head, Buffer.from(put), tail])
      if (how === 2) return Buffer.concat([head, Buffer.from(put), tail.subarray(1)])
      if (how === 3) return Buffer.concat([head, Buffer.from([0xff]), tail])
      if (how === 4) return Buffer.from(text, 'utf16le')
      if (how === 5) return Buffer.concat([Buffer.from('\uFEFF'), Buffer.from(text.replaceAll('\n', '\r\n'))])
      return bytes
    })
  const files = fc.oneof(
    mutated,
    fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
  )

  it('with get, list, set and unset, and the file is as it was, or has the change that was meant', () => {
    const seen = { worked: 0, refused: 0 }
    fc.assert(
      fc.property(files, fc.constantFrom(undefined, 'work', '__proto__'), (bytes, profile) => {
        const attempt = (work: () => void): boolean => {
          write(bytes)
          try {
            work()
            seen.worked++
            return true
          } catch (error) {
            seen.refused++
            if (!(error instanceof TidemarkError)) throw error
            expect(['config_invalid', 'bad_usage']).toContain(error.code)
            expect(readFileSync(folders.config).equals(bytes)).toBe(true)
            return false
          }
        }
        const mine = config(profile)
        attempt(() => mine.read('endpoint'))
        attempt(() => mine.readAll())
        const model = modelOf(bytes)
        if (attempt(() => mine.set('sync_interval', '77')))
          expect(modelOf(readFileSync(folders.config))).toEqual(withSetting(model, profile, '77'))
        if (attempt(() => mine.unset('sync_interval')))
          expect(modelOf(readFileSync(folders.config))).toEqual(withSetting(model, profile, undefined))
      }),
      { numRuns: Number(process.env['CONFIG_FUZZ'] ?? 120) },
    )
    // Both happened, and neither hardly ever.
    expect(Math.min(seen.worked, seen.refused)).toBeGreaterThan(40)
  })

  /** What a file says, as pairs: an object of JavaScript has its own ideas of `__proto__` and of order. */
  const modelOf = (bytes: Uint8Array): unknown => {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
    try {
      const plain = text.decode(bytes).replace(/^\uFEFF/, '')
      return plain.trim() === '' ? null : toPairs(JSON.parse(plain))
    } catch {
      return 'unreadable'
    }
  }
  type Pairs = readonly (readonly [name: string, value: unknown])[]
  const toPairs = (value: unknown): unknown =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.entries(value).map(([name, one]) => [name, toPairs(one)])
      : value
  const withSetting = (model: unknown, chosen: string | undefined, value: string | undefined): unknown => {
    if (model === null && value === undefined) return null
    const file = (model ?? [
      ['profiles', []],
      ['active_profile', 'default'],
    ]) as Pairs
    const get = (pairs: Pairs, name: string) => pairs.find(([one]) => one === name)?.[1]
    const put = (pairs: Pairs, name: string, next: unknown): Pairs =>
      pairs.some(([one]) => one === name)
        ? pairs.map(([one, old]) => [one, one === name ? next : old])
        : [...pairs, [name, next]]
    const profile = chosen ?? (get(file, 'active_profile') as string | undefined) ?? 'default'
    const profiles = (get(file, 'profiles') ?? []) as Pairs
    const settings = (get(profiles, profile) ?? []) as Pairs
    if (value !== undefined)
      return put(file, 'profiles', put(profiles, profile, put(settings, 'sync_interval', Number(value))))
    if (get(profiles, profile) === undefined) return file
    return put(
      file,
      'profiles',
      put(
        profiles,
        profile,
        settings.filter(([name]) => name !== 'sync_interval'),
      ),
    )
  }
})

test.each([
  ['{\n  "profiles": {\n    "default": {\n      "endpoint": "x",\n    }\n  }\n}', 5, 'profiles.default'],
  [
    '{\n  "profiles": {\n    "default": { "sync_interval": soon }\n  }\n}',
    3,
    'profiles.default.sync_interval',
  ],
  ['{"profiles": {"default": {\n"endpoint": "a",\n"endpoint": "b"}}}', 3, 'profiles.default.endpoint'],
  ['{"profiles": {"default": {}, "default": {}}}', 1, 'profiles.default'],
  ['{"profiles": []}', 1, 'profiles'],
  ['{"profiles": {"default": 5}}', 1, 'profiles.default'],
  ['{\n"active_profile": 7}', 2, 'active_profile'],
])('of the file %j it tells file, line and key', (text, line, key) => {
  write(text)
  for (const work of [
    () => config().read('endpoint'),
    () => config().set('endpoint', ENDPOINT),
    () => config().unset('endpoint'),
    () => config().set('token', 'secret'),
    () => listProfiles(folders),
    () => addProfile(folders, 'new'),
    () => useProfile(folders, 'default'),
  ]) {
    const failure = failureOf(work)
    expect(failure).toMatchObject({ code: 'config_invalid', details: { file: folders.config, line, key } })
    expect(failure.message).toContain(`line ${line}, ${key}: `)
  }
  expect(read()).toBe(text)
})

it('tells a value that is none of its setting with its place and not the value, and set mends it', () => {
  write('{"profiles": {"default": {\n"sync_interval": "hidden",\n"auth": "mtls", "endpoint": {}}}}')
  expect(failureOf(() => config().readAll())).toMatchObject({ code: 'config_invalid' })
  const failure = failureOf(() => config().read('sync_interval'))
  expect(failure.message).toMatch(
    /line 2, profiles.default.sync_interval: sync_interval takes a whole number/,
  )
  expect(JSON.stringify(failure)).not.toContain('hidden')
  expect(() => config().read('auth')).toThrow(/line 3, profiles.default.auth: auth: mtls is not there yet/)
  expect(() => config().read('endpoint')).toThrow(/line 3/)
  for (const [name, text] of [
    ['sync_interval', '5'],
    ['auth', 'none'],
    ['endpoint', ENDPOINT],
  ] as const)
    config().set(name, text)
  expect(config().readAll()).toMatchObject({ sync_interval: 5, auth: 'none', endpoint: ENDPOINT })
})

it('changes one place of a person’s own file and leaves every other byte', () => {
  write(OWN)
  config().set('sync_interval', '5')
  const set = OWN.replace('"later": [1e400, {}] }', '"later": [1e400, {}], "sync_interval": 5 }')
  expect(read()).toBe(set)
  config('default').set('auth', 'none')
  expect(read()).toBe(set.replace('"default": {}', '"default": {\n      "auth": "none"\n    }'))
  config().unset('sync_interval')
  config('default').unset('auth')
  config().unset('protocol')
  expect(read()).toBe(OWN)
})

it('reads a file of ten megabytes, and refuses one that no person wrote', () => {
  write(`{"mine": "${'x'.repeat(10 * 1024 * 1024)}", "profiles": {"default": {"sync_interval": 5}}}`)
  expect(config().read('sync_interval').value).toBe(5)
  config().set('sync_interval', '6')
  expect(config().read('sync_interval').value).toBe(6)
  write(' '.repeat(33 * 1024 * 1024))
  expect(failureOf(() => config().read('sync_interval')).message).toContain('larger than 32 MB')
  expect(failureOf(() => config().set('sync_interval', '7')).code).toBe('config_invalid')
})

it('keeps tokens apart, and what is open to others is closed with the first look', () => {
  config().set('endpoint', ENDPOINT)
  config().set('token', 'hidden')
  expect(read()).not.toContain('hidden')
  for (const file of [folders.config, folders.secrets]) {
    expect(statSync(file).mode & 0o777).toBe(0o600)
    chmodSync(file, 0o644)
  }
  expect(config().read('token').value).toBe('hidden')
  for (const file of [folders.config, folders.secrets]) expect(statSync(file).mode & 0o777).toBe(0o600)
})

it('takes a profile as it is named by a flag, else the environment, else the file', () => {
  write(OWN)
  expect(config().profile).toBe('work')
  expect(config(undefined, { CLANKERS_PROFILE: 'default' })).toMatchObject({
    profile: 'default',
    isChosen: true,
  })
  expect(config('work', { TIDEMARK_PROFILE: 'default' }).profile).toBe('work')
  expect(config(undefined, { TIDEMARK_PROFILE: ' ' })).toMatchObject({ profile: 'work', isChosen: false })
  expect(config().of('default').read('endpoint').value).toBeNull()
})

it('an unknown profile is an error with the names there are, and not one in which nothing is set', () => {
  write(OWN)
  for (const work of [
    () => config('tpyo').profile,
    () => config('tpyo').read('endpoint'),
    () => config('tpyo').readAll(),
    () => config('tpyo').unset('endpoint'),
    () => config('tpyo', { TIDEMARK_ENDPOINT: ENDPOINT }).read('endpoint'),
    () => config('').profile,
    () => config('toString').profile,
    () => useProfile(folders, 'tpyo'),
    () => removeProfile({ folders, clock: systemClock, random: systemRandom }, 'tpyo'),
    () => addProfile(folders, 'new', 'tpyo'),
  ]) {
    expect(failureOf(work)).toMatchObject({
      code: 'bad_usage',
      message: expect.stringContaining('there are default, work') as string,
    })
  }
  expect(read()).toBe(OWN)
  write(OWN.replace('"active_profile": "work"', '"active_profile": "gone"'))
  expect(() => config().profile).toThrow(/no profile gone/)
  useProfile(folders, 'default')
  expect(config().profile).toBe('default')
})

it('set makes a profile and says so, also with a token only; no name that a screen or a shell would mind', () => {
  expect(config('home').set('endpoint', ENDPOINT)).toEqual({ made: true })
  expect(config('home').set('endpoint', ENDPOINT)).toEqual({ made: false })
  expect(config('other').set('token', 'one')).toEqual({ made: true })
  expect(config('__proto__').set('endpoint', ENDPOINT)).toEqual({ made: true })
  expect(config('__proto__').read('endpoint').value).toBe(ENDPOINT)
  expect(config('constructor').set('token', 'two')).toEqual({ made: true })
  expect(config('constructor').read('token').value).toBe('two')
  expect(listProfiles(folders).map(({ name }) => name)).toEqual([
    'default',
    'home',
    'other',
    '__proto__',
    'constructor',
  ])
  for (const name of ['', ' ', 'a b', '-x', '\u001b[2J', 'x'.repeat(65), '../x'])
    expect(failureOf(() => config(name === ' ' ? ' \u0000' : name).set('endpoint', ENDPOINT)).code).toBe(
      'bad_usage',
    )
})

it('a copy of a profile has its settings, known or not, and not its token', () => {
  write(OWN)
  config('work').set('token', 'hidden')
  addProfile(folders, 'copy', 'work')
  expect(config('copy').read('endpoint').value).toBe('https://work.example')
  expect(config('copy').read('token').value).toBeNull()
  expect(read()).toContain('"copy": { "endpoint": "https://work.example", "later": [1e400, {}] }')
  expect(() => addProfile(folders, 'copy')).toThrow(/already/)
})

it('a removed profile takes its token with it; one in use, or with files under sync, stays', () => {
  config('home').set('endpoint', ENDPOINT)
  config('home').set('token', 'hidden')
  expect(() => removeProfile({ folders, clock: systemClock, random: systemRandom }, 'default')).toThrow(
    /in use/,
  )
  addAttachment(folders, { file: '/x/app.db', space: 's', profile: 'home', attachedAt: 1 })
  expect(
    failureOf(() => removeProfile({ folders, clock: systemClock, random: systemRandom }, 'home')),
  ).toMatchObject({ details: { files: ['/x/app.db'] } })
  expect(readFileSync(folders.secrets, 'utf8')).toContain('hidden')
  addAttachment(folders, { file: '/x/app.db', space: 's', profile: 'default', attachedAt: 1 })
  removeProfile({ folders, clock: systemClock, random: systemRandom }, 'home')
  expect(readFileSync(folders.secrets, 'utf8')).not.toContain('hidden')
  expect(listProfiles(folders)).toEqual([{ name: 'default', active: true }])
})

it('the environment is read and never written: not by set, unset, profiles', () => {
  const env = { TIDEMARK_ENDPOINT: 'https://env.example', TIDEMARK_TOKEN: 'env', TIDEMARK_SYNC_INTERVAL: '7' }
  const mine = config(undefined, env)
  mine.set('auth', 'token')
  mine.unset('protocol')
  expect(mine.readAll()).toMatchObject({ endpoint: 'https://env.example', token: 'env', sync_interval: 7 })
  addProfile(folders, 'copy', 'default')
  expect(read()).not.toMatch(/env|7/)
  expect(config().readAll()).toMatchObject({ endpoint: null, token: null, sync_interval: 30 })
})
