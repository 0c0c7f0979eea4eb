import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { openMachine } from '../command-line.ts'

test('devices: this machine registers, is listed, renamed and removed, and comes back', async () => {
  await using machine = await openMachine()
  const { url } = await machine.serve()
  await machine.tidemark('config', 'set', 'endpoint', url)
  const { device } = (await machine.ask('devices', 'register', '--name', 'Küche')) as {
    readonly device: { readonly id: string }
  }
  expect(await machine.ask('devices', 'list')).toMatchObject({
    devices: [{ id: device.id, name: 'Küche', this_device: true }],
  })
  expect((await machine.tidemark('devices', 'list')).out).toMatch(
    /Küche \(\w+; this machine; seen just now\)/,
  )
  await machine.ask('devices', 'rename', device.id, 'Bad')
  expect(await machine.ask('whoami')).toMatchObject({
    device: { id: device.id, name: 'Bad' },
    cloud: { accepts: true },
  })

  const unasked = await machine.tidemark('devices', 'remove', device.id)
  expect(unasked).toMatchObject({ code: 1, err: expect.stringContaining('nobody said yes') as unknown })
  await machine.ask('devices', 'remove', device.id, '--yes')
  expect(await machine.ask('whoami')).toMatchObject({
    cloud: { accepts: false, reason: expect.stringMatching(/deregistered|revoked/) as unknown },
  })
  // Which device it was, and how to come back, is told with the account's own token.
  expect((await machine.tidemark('devices', 'list')).out).toContain('removed just now')
  await machine.ask('devices', 'register')
  expect(await machine.ask('whoami')).toMatchObject({ device: { name: 'Bad' }, cloud: { accepts: true } })
  expect((await machine.tidemark('devices', 'rename', 'nobody', 'x')).code).toBe(1)
})

test('whoami tells what is missing; logout forgets the token, and that of the device', async () => {
  await using machine = await openMachine()
  expect(await machine.ask('whoami')).toMatchObject({
    profile: 'default',
    endpoint: null,
    token: null,
    cloud: null,
  })
  expect(await machine.ask('logout')).toMatchObject({ logged_out: false })
  const { url } = await machine.serve()
  await machine.tidemark('config', 'set', 'endpoint', url)
  expect((await machine.tidemark('whoami')).out).toContain('Token: set (file)\nCloud: knows this device')
  const token = await tokenOf(machine.folder)
  expect(await deviceFile(machine.folder)).toMatch(/"tokens": \{\s*"http/)
  expect((await machine.tidemark('logout')).out).toContain('forgotten here')
  expect(await deviceFile(machine.folder)).toMatch(/"tokens": \{\}/)
  expect(await machine.ask('whoami')).toMatchObject({ token: null, cloud: { accepts: false } })
  machine.env['TIDEMARK_TOKEN'] = token
  const { code, err } = await machine.tidemark('logout')
  expect(code).toBe(2)
  expect(err).toContain('TIDEMARK_TOKEN')
  expect(err).not.toContain(token)
})

const deviceFile = (folder: string): Promise<string> => readFile(join(folder, 'home', 'device.json'), 'utf8')

async function tokenOf(folder: string): Promise<string> {
  const text = await readFile(join(folder, 'home', 'secrets.json'), 'utf8')
  return /tm_[\w-]+/.exec(text)?.[0] ?? ''
}
