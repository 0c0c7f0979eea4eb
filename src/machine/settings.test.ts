import { join, resolve } from 'node:path'

import { expect, it, test } from 'vitest'

import { findFolders, homeFolders } from './folders.ts'
import { isSettingName, parseSetting, readVariable, SETTINGS, type SettingName } from './settings.ts'
import { findProfile } from './variables.ts'

const VALUES: { readonly [name in SettingName]: readonly [text: string, value: string | number | boolean] } =
  {
    endpoint: ['https://cloud.example/', 'https://cloud.example'],
    sync_enabled: ['Off', false],
    sync_interval: ['45', 45],
    sync_batch_size: ['7', 7],
    token: ['tdm_abc', 'tdm_abc'],
    auth: ['NONE', 'none'],
    protocol: ['batch', 'batch'],
    daemon_port: ['0', 0],
    approval_expiry: ['60', 60],
  }
const NAMES = Object.keys(SETTINGS) as SettingName[]

test.each(NAMES)(
  '%s: each variable sets it, ours before origin 000s, and blanks around it are nothing',
  (name) => {
    const { variables } = SETTINGS[name]
    const [text, value] = VALUES[name]
    const [ours, ...aliases] = variables
    expect(ours).toBe(`TIDEMARK_${name.toUpperCase()}`)
    for (const variable of variables)
      expect(readVariable(name, { [variable]: ` ${text}\n` })).toEqual({
        value,
        origin: 'environment',
        variable,
      })
    for (const alias of aliases)
      expect(readVariable(name, { [ours]: text, [alias]: 'not this' })).toMatchObject({ variable: ours })
    // Empty, or blanks: as good as none, and the alias has its say.
    for (const empty of ['', ' \t']) {
      expect(readVariable(name, { [ours]: empty })).toBeNull()
      for (const alias of aliases)
        expect(readVariable(name, { [ours]: empty, [alias]: text })).toMatchObject({ variable: alias })
    }
  },
)

test.each([
  ['endpoint', 'cloud.example'],
  ['endpoint', 'ftp://cloud.example'],
  ['endpoint', 'https://me:hidden@cloud.example'],
  ['sync_enabled', 'maybe'],
  ['sync_interval', '0'],
  ['sync_interval', '1.5'],
  ['sync_interval', '2147484'],
  ['sync_batch_size', '-1'],
  ['sync_batch_size', '1e3'],
  ['token', 'two hidden words'],
  ['token', 'hidden\u0000'],
  ['token', 'hïdden'],
  ['auth', 'basic'],
  ['protocol', 'http'],
  ['daemon_port', '65536'],
  ['approval_expiry', 'soon'],
] as const)('%s is not %j: the variable is named, the value is not', (name, text) => {
  const variable = SETTINGS[name].variables.at(-1) ?? ''
  const said = (work: () => unknown): string => {
    try {
      work()
    } catch (error) {
      expect(error).toMatchObject({ code: 'bad_usage' })
      return String(error)
    }
    return 'nothing'
  }
  const message = said(() => readVariable(name, { [variable]: text }))
  expect(message).toContain(`${variable} takes `)
  expect(message).not.toContain('hidden')
  expect(said(() => parseSetting(name, text))).toContain(`${name} takes `)
})

it('refuses mtls by its name: nobody who asked for it goes on with less', () => {
  expect(() => readVariable('auth', { TIDEMARK_AUTH: 'mtls' })).toThrow(
    /TIDEMARK_AUTH: mtls is not there yet/,
  )
})

it('knows a setting by its own name only', () => {
  for (const name of ['__proto__', 'constructor', 'toString', 'Endpoint', ''])
    expect(isSettingName(name)).toBe(false)
})

it('finds each place by its variables, ours first, and refuses a ~ that no shell has read', () => {
  const none = findFolders({})
  expect(none.agents).toBe(join(none.data, 'agents.db'))
  const moved = findFolders({ CLANKERS_DATA_PATH: ' /srv/t ', TIDEMARK_CONFIG: '' })
  expect(moved).toEqual({ ...homeFolders('/srv/t'), config: none.config })
  const all = {
    TIDEMARK_DATA_DIR: '/a',
    CLANKERS_DATA_PATH: '/never',
    TIDEMARK_CONFIG: 'c.json',
    TIDEMARK_LOG_DIR: '/l',
    CLANKERS_LOG_PATH: '/never',
    CLANKERS_DB_PATH: '/d/x.db',
  }
  expect(findFolders(all)).toEqual({
    data: '/a',
    config: resolve('c.json'),
    secrets: '/a/secrets.json',
    logs: '/l',
    agents: '/d/x.db',
  })
  expect(findFolders({ ...all, TIDEMARK_DB_PATH: '/mine.db' }).agents).toBe('/mine.db')
  expect(() => findFolders({ CLANKERS_LOG_PATH: '~/logs' })).toThrow(/CLANKERS_LOG_PATH begins with ~/)
  expect(findProfile({ TIDEMARK_PROFILE: ' ', CLANKERS_PROFILE: ' work ' })?.text).toBe('work')
})
