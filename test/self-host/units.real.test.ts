import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { createSelfSigned } from '../cloud/self-signed.ts'
import { openTestDatabase } from '../postgres/database.ts'
import { EXAMPLE, hasProgram, readExample, runProgram } from './example.ts'

const BIN = join(EXAMPLE, '../../bin/tidemark.js')
/** Of 10; what is left is the network, and that memory may be both written and run. */
const MOST_EXPOSED = 1.5
/** Instances of the template have a name. */
const UNITS = [
  { file: 'tidemark-cloud.service', unit: 'tidemark-cloud.service' },
  { file: 'tidemark-cloud@.service', unit: 'tidemark-cloud@7601.service' },
]

test.skipIf(!hasProgram('systemd-analyze')).each(UNITS)(
  '$file is in order, and exposes little',
  ({ file, unit }) => {
    const folder = mkdtempSync(join(tmpdir(), 'tidemark-units-'))
    try {
      const program = join(folder, 'tidemark')
      symlinkSync(BIN, program)
      const text = readExample(`systemd/${file}`)
      expect(text).toContain('ExecStart=/usr/local/bin/tidemark ')
      writeFileSync(join(folder, file), text.replace('/usr/local/bin/tidemark', program))
      const verified = runProgram('systemd-analyze', ['verify', '--man=no', join(folder, unit)])
      expect(verified).toEqual({ code: 0, said: '' })
      const { said } = runProgram('systemd-analyze', ['security', '--offline=true', join(folder, file)])
      const exposed = /exposure level for \S+: ([\d.]+)/.exec(said)?.[1]
      expect(Number(exposed), said).toBeLessThanOrEqual(MOST_EXPOSED)
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  },
)

/** What systemd would start: the command and its environment, with the specifiers that the units use. */
function readUnit(file: string, specifiers: { readonly [letter: string]: string }) {
  const settings = readExample(`systemd/${file}`)
    .split('\n')
    .filter((line) => /^\w+=/.test(line))
    .map((line) => {
      const at = line.indexOf('=')
      const value = line
        .slice(at + 1)
        .replaceAll(/%(\w)/g, (all, letter: string) => specifiers[letter] ?? all)
      return [line.slice(0, at), value] as const
    })
  const all = (name: string): readonly string[] =>
    settings.filter(([setting]) => setting === name).map(([, value]) => value)
  return {
    command: all('ExecStart')[0]?.split(' ') ?? [],
    env: Object.fromEntries(
      all('Environment').map((text) => text.split(/=(.*)/s).slice(0, 2) as [string, string]),
    ),
    credentials: all('LoadCredential').map((text) => text.split(':')[0] ?? ''),
    stopMs: Number(all('TimeoutStopSec')[0]) * 1_000,
  }
}

/** Starts it as the unit says, until it is ready and is asked to stop; its exit code. */
async function live(
  unit: ReturnType<typeof readUnit>,
  env: { readonly [name: string]: string },
): Promise<{ readonly code: number | null; readonly metrics: string; readonly err: string }> {
  const [program, ...args] = unit.command
  expect(program).toBe('/usr/local/bin/tidemark')
  // No home folder, no settings of whoever runs the tests.
  const child = spawn(process.execPath, [BIN, ...args], {
    cwd: '/',
    env: { PATH: process.env['PATH'] ?? '', ...unit.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let [out, err] = ['', '']
  child.stdout.on('data', (text: Buffer) => (out += String(text)))
  child.stderr.on('data', (text: Buffer) => (err += String(text)))
  const gone = new Promise<number | null>((resolve) => child.once('exit', resolve))
  try {
    await expect
      .poll(() => (child.exitCode === null ? out : `ended: ${err}`), { timeout: 30_000 })
      .toContain('Metrics at')
    const metrics = await (await fetch(/Metrics at (\S+)/.exec(out)?.[1] ?? '')).text()
    child.kill('SIGTERM')
    const timer = setTimeout(() => child.kill('SIGKILL'), unit.stopMs)
    const code = await gone
    clearTimeout(timer)
    return { code, metrics, err }
  } finally {
    child.kill('SIGKILL')
    await gone
  }
}

test('the unit of one file serves HTTPS from its folder, and stops in order', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-units-'))
  try {
    const { key, cert } = createSelfSigned()
    mkdirSync(join(folder, 'credentials'))
    writeFileSync(join(folder, 'credentials/key.pem'), key)
    writeFileSync(join(folder, 'credentials/cert.pem'), cert)
    const unit = readUnit('tidemark-cloud.service', { S: folder, d: join(folder, 'credentials') })
    expect(unit.credentials).toEqual(['key.pem', 'cert.pem'])
    expect(unit.env['TIDEMARK_CLOUD_DATA']).toBe(join(folder, 'tidemark'))
    const { code, metrics, err } = await live(unit, {
      TIDEMARK_CLOUD_PORT: '0',
      TIDEMARK_CLOUD_METRICS_ADDRESS: '127.0.0.1:0',
    })
    expect([code, err]).toEqual([0, ''])
    expect(metrics).toContain('\ntidemark_commit_queue ')
    const tokens = runProgram(process.execPath, [
      BIN,
      'cloud',
      '--data',
      join(folder, 'tidemark'),
      'token',
      'list',
    ])
    expect(tokens.code, tokens.said).toBe(0)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}, 90_000)

test('the unit of several nodes takes its port from its name and the password from its file', async () => {
  await using database = await openTestDatabase()
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-units-'))
  try {
    const { hostname, port, pathname, username } = new URL(database.url)
    writeFileSync(join(folder, 'pgpass'), `${hostname}:${port}:${pathname.slice(1)}:${username}:anything\n`, {
      mode: 0o400,
    })
    const unit = readUnit('tidemark-cloud@.service', { i: '7601', d: folder })
    expect(unit.credentials).toEqual(['pgpass'])
    expect(unit.env).toMatchObject({
      PGPASSFILE: join(folder, 'pgpass'),
      TIDEMARK_CLOUD_PORT: '7601',
      TIDEMARK_CLOUD_METRICS_ADDRESS: '127.0.0.1:17601',
    })
    const { code, metrics, err } = await live(unit, {
      TIDEMARK_CLOUD_PORT: '0',
      TIDEMARK_CLOUD_METRICS_ADDRESS: '127.0.0.1:0',
      TIDEMARK_CLOUD_DATABASE_URL: database.url,
    })
    expect([code, err]).toEqual([0, ''])
    expect(metrics).toMatch(/tidemark_database_connections\{state="total"\} [1-9]/)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}, 90_000)
