import { spawn } from 'node:child_process'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { expect, test } from 'vitest'

import { openMachine, type Machine } from './command-line.ts'

interface Told {
  readonly url: string
  readonly metrics?: string
}

/** Starts `tidemark cloud …` on any port; what it tells of itself. */
async function serve(
  machine: Machine,
  ...options: readonly string[]
): Promise<Told & { stop(): Promise<unknown> }> {
  const started = machine.start('cloud', '--json', '--port', '0', ...options)
  await expect.poll(started.said).toContain('"url"')
  const [line = ''] = started.said().split('\n')
  return { ...(JSON.parse(line) as Told), stop: started.stop }
}

const policyOf = async (
  url: string,
  headers: { readonly [name: string]: string } = {},
): Promise<string | null> => (await fetch(url, { headers })).headers.get('ratelimit-policy')

test('what an operator sets reaches the cloud', async () => {
  await using machine = await openMachine()
  const plain = await serve(machine)
  expect(plain.metrics).toBe(undefined)
  expect(await policyOf(plain.url)).toBe('"address";q=240000;w=60, "token";q=60000;w=60')
  await plain.stop()

  const set = [
    '--token-rate',
    '70',
    '--address-rate',
    '90',
    '--trust-proxy',
    '1',
    '--metrics-address',
    '127.0.0.1:0',
  ]
  const cloud = await serve(machine, ...set, '--log-level', 'silent', '--max-connections', '50')
  expect(await policyOf(cloud.url)).toBe('"address";q=90;w=60, "token";q=70;w=60')
  const left = async (address: string): Promise<string | null> =>
    (await fetch(cloud.url, { headers: { 'x-forwarded-for': address } })).headers.get('ratelimit')
  expect(await left('192.0.2.1')).toContain('r=89')
  expect(await left('192.0.2.2')).toContain('r=89')
  expect(await (await fetch(cloud.metrics ?? '')).text()).toContain('\ntidemark_connections ')
  await cloud.stop()
})

test('the environment says what the command line leaves out', async () => {
  await using machine = await openMachine()
  machine.env['TIDEMARK_CLOUD_TOKEN_RATE'] = '7'
  machine.env['TIDEMARK_CLOUD_ADDRESS_RATE'] = '8'
  machine.env['TIDEMARK_CLOUD_METRICS_ADDRESS'] = '127.0.0.1:0'
  machine.env['TIDEMARK_CLOUD_HOST'] = ''
  machine.env['TIDEMARK_CLOUD_INSECURE_LOOPBACK'] = 'true'
  machine.env['TIDEMARK_CLOUD_DATA'] = join(machine.folder, 'from-variable')
  const cloud = await serve(machine, '--token-rate', '9')
  expect(await policyOf(cloud.url)).toBe('"address";q=8;w=60, "token";q=9;w=60')
  expect(cloud.metrics).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/metrics$/)
  expect((await fetch(`${cloud.url}/sync/devices`)).status).toBe(200)
  await cloud.stop()

  // The same folder for the commands below it, unless they name one.
  machine.env['TIDEMARK_CLOUD_INSECURE_LOOPBACK'] = 'false'
  expect((await machine.tidemark('cloud', 'token', 'create')).code).toBe(0)
  const tokens = async (...options: readonly string[]): Promise<number> =>
    ((await machine.ask('cloud', 'token', 'list', ...options)) as { readonly tokens: readonly object[] })
      .tokens.length
  expect(await tokens('--data', join(machine.folder, 'from-variable'))).toBe(1)
  expect(await tokens()).toBe(1)
  expect(await tokens('--data', join(machine.folder, 'elsewhere'))).toBe(0)
})

test.each([
  [['--metrics-address', '9464'], {}, 'host:port'],
  [['--metrics-address', '::1:9464'], {}, 'host:port'],
  [['--metrics-address', '127.0.0.1:99999'], {}, '65535'],
  [['--log-level', 'loud'], {}, 'debug'],
  [['--token-rate', '-1'], {}, 'whole number'],
  [['--drain', '1e9'], {}, 'seconds'],
  [[], { TIDEMARK_CLOUD_TOKEN_RATE: 'x' }, 'TIDEMARK_CLOUD_TOKEN_RATE'],
  [[], { TIDEMARK_CLOUD_DATA: '/x', TIDEMARK_CLOUD_DATABASE_URL: 'postgres://x' }, 'both set'],
  [[], { TIDEMARK_CLOUD_LOG_LEVEL: 'loud' }, 'TIDEMARK_CLOUD_LOG_LEVEL'],
  [[], { TIDEMARK_CLOUD_INSECURE_LOOPBACK: 'maybe' }, 'TIDEMARK_CLOUD_INSECURE_LOOPBACK'],
])('%j with %j starts nothing', async (options, env, why) => {
  await using machine = await openMachine()
  Object.assign(machine.env, env)
  const { code, out, err } = await machine.tidemark('cloud', '--port', '0', ...options)
  expect([code, out]).toEqual([2, ''])
  expect(err).toContain(why)
  const told = await machine.tidemark('--json', 'cloud', '--port', '0', ...options)
  expect([told.code, JSON.parse(told.out)]).toMatchObject([2, { error: { code: 'bad_usage' } }])
})

test('of two addresses the one that is taken is named', async () => {
  await using machine = await openMachine()
  const taken = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => taken.once('listening', resolve))
  const address = `127.0.0.1:${(taken.address() as AddressInfo).port}`
  const { code, err } = await machine.tidemark('cloud', '--port', '0', '--metrics-address', address)
  expect([code, err]).toEqual([1, expect.stringContaining(`${address} is taken`) as string])
  taken.close()
})

test('with --log-level info there is a line of JSON for each request', async () => {
  await using machine = await openMachine()
  const main = join(import.meta.dirname, '../src/cli/main.ts')
  const args = [
    main,
    '--home',
    join(machine.folder, 'home'),
    'cloud',
    '--json',
    '--port',
    '0',
    '--log-level',
    'info',
  ]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  try {
    let [out, err] = ['', '']
    child.stdout.on('data', (text: Buffer) => (out += text.toString()))
    child.stderr.on('data', (text: Buffer) => (err += text.toString()))
    await expect.poll(() => out, { timeout: 20_000 }).toContain('\n')
    const { url } = JSON.parse(out) as Told
    await fetch(`${url}/sync/devices`, { headers: { 'x-request-id': 'mine' } })
    await expect.poll(() => err).toContain('"request":"mine"')
    const line = err.split('\n').find((text) => text.includes('"request":"mine"')) ?? ''
    expect(JSON.parse(line)).toMatchObject({
      msg: 'Request',
      route: 'devices',
      status: 401,
      code: 'unauthorized',
    })
  } finally {
    child.kill('SIGKILL')
  }
})
