import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { serveControl, socketPath } from '../../src/daemon/control.ts'
import { writeLaunchdPlist } from '../../src/daemon/service/launchd-plist.ts'
import { writeSystemdUnit } from '../../src/daemon/service/systemd-unit.ts'
import { homeFolders, runFolder } from '../../src/machine/folders.ts'
import { openMachine, type Machine } from '../command-line.ts'

const ODD = {
  command: ['/opt/no de/node', '/a "b"/100% $HOME\\x/tidemark.js', '--home', "/h&<i>'s", 'daemon'],
  env: { TIDEMARK_DATA_DIR: '/da ta/50%' },
  errors: '/da ta/run/daemon.errors',
}

test('paths stand in a unit as they are, whatever systemd would make of their characters', () => {
  const unit = writeSystemdUnit(ODD)
  expect(unit).toContain(
    `ExecStart="/opt/no de/node" "/a \\"b\\"/100%% $$HOME\\\\x/tidemark.js" "--home" "/h&<i>'s" "daemon"\n`,
  )
  expect(unit).toContain('Environment="TIDEMARK_DATA_DIR=/da ta/50%%"\n')
  expect(() => writeSystemdUnit({ ...ODD, command: ['/a\nExecStartPre=/bin/sh'] })).toThrow('line break')
})

test('the plist is well formed, and its texts are what was given', () => {
  const plist = writeLaunchdPlist('dev.tidemark.daemon', ODD)
  const open: string[] = []
  const texts: string[] = []
  for (const [, close, name, end, text] of plist
    .replace(/^<\?xml[^>]*\?>\n<!DOCTYPE[^>]*>\n/, '')
    .replaceAll(/<!--[^-]*-->/g, '')
    .matchAll(/<(\/?)([a-z]+)(?: [a-z]+="[^"<&]*")*(\/?)>([^<>]*)/g)) {
    if (close === '/') expect(open.pop()).toBe(name)
    else if (end === '') open.push(String(name))
    const entities = { '&amp;': '&', '&lt;': '<', '&gt;': '>', '&quot;': '"', '&apos;': "'" }
    const plain = String(text).replaceAll(
      /&\w*;?/g,
      (entity) => Object.entries(entities).find(([one]) => one === entity)?.[1] ?? 'BROKEN',
    )
    if (name === 'string' && close === '') texts.push(plain)
  }
  expect(open).toEqual([])
  expect(texts).toEqual(['dev.tidemark.daemon', ...ODD.command, '/da ta/50%', ODD.errors])
})

/** A service manager that says what it was asked, and whose services all fail. */
function pretendSystemd(machine: Machine): () => string {
  const folder = join(machine.folder, 'bin')
  const log = join(machine.folder, 'asked')
  mkdirSync(folder)
  const script = `#!/bin/sh\necho "$@" >> '${log}'\n[ "$2" = show ] && echo ActiveState=failed\nexit 0\n`
  writeFileSync(join(folder, 'systemctl'), script)
  chmodSync(join(folder, 'systemctl'), 0o755)
  machine.env['PATH'] = `${folder}:/bin:/usr/bin`
  machine.env['HOME'] = join(machine.folder, 'user')
  return () => readFileSync(log, 'utf8')
}

test.skipIf(process.platform !== 'linux')(
  'a service has home and profile, and no setting or secret',
  async () => {
    await using machine = await openMachine()
    const asked = pretendSystemd(machine)
    machine.env['TIDEMARK_TOKEN'] = 'SECRET-TOKEN'
    machine.env['TIDEMARK_ENDPOINT'] = 'https://cloud.example'
    await machine.tidemark('config', 'set', 'sync_interval', '30', '--profile', 'work')
    const installed = await machine.tidemark('--profile', 'work', '--json', 'daemon', 'install')
    expect(installed).toMatchObject({ code: 0 })
    expect(installed.err).toContain('TIDEMARK_ENDPOINT, TIDEMARK_TOKEN')
    const { file } = JSON.parse(installed.out) as { readonly file: string }
    expect(
      file.startsWith(join(machine.folder, 'user', '.config', 'systemd', 'user', 'tidemark-daemon-')),
    ).toBe(true)
    const unit = readFileSync(file, 'utf8')
    expect(unit).toContain(
      `"--home" "${join(machine.folder, 'home')}" "--profile" "work" "daemon" "--background"`,
    )
    expect(unit).not.toMatch(/SECRET|cloud\.example/)
    expect(asked()).toContain('--user daemon-reload\n--user enable tidemark-daemon-')

    const started = await machine.tidemark('daemon', 'start')
    expect(started.code).toBe(1)
    expect(started.err).toContain('The daemon did not start: the service ended')
    expect(asked()).toMatch(/--user start tidemark-daemon-/)
    expect((await machine.tidemark('daemon', 'status')).code).toBe(3)

    expect((await machine.tidemark('daemon', 'uninstall')).code).toBe(0)
    expect(existsSync(file)).toBe(false)
    expect(asked()).toMatch(/--user disable --now tidemark-daemon-/)
    expect((await machine.tidemark('daemon', 'uninstall')).code).toBe(0)
  },
)

test('without a service manager there is nothing to install, and it says what there is', async () => {
  await using machine = await openMachine()
  const { code, err } = await machine.tidemark('daemon', 'install')
  expect(code).toBe(1)
  expect(err).toContain('tidemark daemon start')
})

test('one that has ended is stopped, also where another one was started meanwhile', async () => {
  await using machine = await openMachine()
  const { pid: ended } = spawnSync(process.execPath, ['--version'])
  const folder = runFolder(homeFolders(join(machine.folder, 'home')))
  let pid = ended
  const control = await serveControl(socketPath(folder, 'daemon'), ({ command }) => {
    const note = { pid, state: 'ready', url: null, startedAt: 0, version: '1' }
    if (command === 'stop') pid = process.pid
    return Promise.resolve(note)
  })
  expect(await machine.tidemark('daemon', 'stop')).toMatchObject({ code: 0, out: 'The daemon is stopped.\n' })
  control.stop()
})
