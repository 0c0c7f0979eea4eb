import { afterAll, beforeAll, expect, test, vi } from 'vitest'

import { connectDaemon } from '../../src/daemon/api/connect.ts'
import { systemClock } from '../../src/kernel/clock.ts'
import { homeFolders } from '../../src/machine/folders.ts'
import type { DaemonClient } from '../../src/client/index.ts'
import { openMachine, type Machine, type Started } from '../command-line.ts'

let machine: Machine
let daemon: Started
let client: DaemonClient

/** Runs a command until it says something. */
const said = (text: string, ...words: readonly string[]) =>
  vi.waitFor(async () => expect((await machine.tidemark(...words)).out).toContain(text), { timeout: 30_000 })

beforeAll(async () => {
  machine = await openMachine()
  machine.env['TIDEMARK_DAEMON_PORT'] = '0'
  daemon = machine.start('daemon')
  const folders = homeFolders(`${machine.folder}/home`)
  await said('There is no session.', 'sessions', 'list')
  client = (await connectDaemon(folders, { clock: systemClock })).client
})
afterAll(async () => {
  await daemon.stop()
  await machine[Symbol.asyncDispose]()
})

test('sessions are listed, shown with their messages, archived and taken back', async () => {
  await client.createSession({ body: { id: 's1', title: 'Mend\u001b[2J it', source: 'test', cost: 0.5 } })
  await client.createMessages({
    id: 's1',
    body: { messages: [{ id: 'm1', role: 'user', text: 'a\nb\u202ec' }] },
  })
  const listed = await machine.tidemark('sessions', 'list')
  expect(listed.out).toBe('s1  Mend\\u001b[2J it\n    test, 1 message, changed just now\n')
  const shown = await machine.tidemark('sessions', 'show', 's1')
  expect(shown.out).toContain('  cost: 0.5\n')
  expect(shown.out).toContain('\nuser, just now\na\nb\\u202ec\n')
  await machine.ask('sessions', 'archive', 's1')
  expect((await machine.tidemark('sessions', 'list')).out).toBe('There is no session.\n')
  expect(await machine.ask('sessions', 'list', '--archived')).toMatchObject({ sessions: [{ id: 's1' }] })
  await machine.ask('sessions', 'unarchive', 's1')
  expect(await machine.ask('sessions', 'list', '--source', 'test')).toMatchObject({
    sessions: [{ id: 's1' }],
  })
  expect(await machine.tidemark('sessions', 'show', 'nope')).toMatchObject({ code: 1 })
})

test('what was found stands in brackets where nothing can be bold', async () => {
  await client.createSession({ body: { id: 's2', title: 'Search' } })
  await client.createMessages({
    id: 's2',
    body: { messages: [{ id: 'm2', role: 'assistant', text: 'The heron\u001b[31m waits by the weir.' }] },
  })
  await said('[heron]', 'search', 'heron')
  const { out } = await machine.tidemark('search', 'heron', 'we*', '--kind', 'message')
  expect(out).toMatch(/^assistant in Search \(s2\), just now\n    The \[heron\] \[31m waits by the \[weir\]/)
  expect((await machine.tidemark('search', 'nothing-of-the-kind')).out).toBe('Nothing was found.\n')
})

test('an approval is asked for, shown whole, and decided once', async () => {
  const input = JSON.stringify({ command: 'rm -rf build\u001b[1A', note: 'x'.repeat(300) })
  const asked = machine.tidemark(
    'approvals',
    'request',
    'Bash',
    '--id',
    'a1',
    '--input',
    input,
    '--wait',
    '60',
  )
  await said('a1  pending  Bash', 'approvals', 'list')
  const { out } = await machine.tidemark('approvals', 'show', 'a1')
  expect(out).toContain('"command":"rm -rf build\\u001b[1A"')
  expect(out).toContain('x'.repeat(300))
  expect((await machine.tidemark('approvals', 'deny', 'a1')).code).toBe(2)
  expect((await machine.tidemark('approvals', 'approve', 'a1', '--input', '{"command"')).code).toBe(2)
  await machine.ask('approvals', 'approve', 'a1', '--input', '{"command":"ls"}', '--comment', 'only look')
  const { code, out: told } = await asked
  // Not what was asked: a script that looks at the code alone must not run it.
  expect(code).toBe(1)
  expect(told).toContain('a1 waits to be decided.')
  expect(told).toContain('Changed to: {"command":"ls"}')
  const again = await machine.tidemark('approvals', 'deny', 'a1', '--comment', 'late')
  expect(again).toMatchObject({ code: 1, err: expect.stringContaining('decided already') as unknown })
})

test('a denial, a cancelled and an undecided question end with exit code 1', async () => {
  const request = (id: string, wait: string) =>
    machine.tidemark(
      'approvals',
      'request',
      'Bash',
      '--id',
      id,
      '--input',
      '{"command":"make"}',
      '--wait',
      wait,
    )
  expect(await request('d', '0')).toMatchObject({
    code: 1,
    out: expect.stringContaining('Status: pending') as unknown,
  })
  await machine.ask('approvals', 'deny', 'd', '--comment', 'not now')
  expect(await request('d', '5')).toMatchObject({
    code: 1,
    out: expect.stringContaining('Comment: not now') as unknown,
  })
  await request('c', '0')
  await machine.ask('approvals', 'cancel', 'c')
  expect(await request('c', '5')).toMatchObject({
    code: 1,
    out: expect.stringContaining('Status: cancelled') as unknown,
  })
})

test('rules decide without asking, and the audit says which', async () => {
  const { rule } = (await machine.ask('rules', 'add', 'allow', 'Bash', '--command', 'npm test')) as {
    readonly rule: { readonly id: string }
  }
  expect((await machine.tidemark('rules', 'list')).out).toBe(`${rule.id}  allow Bash: npm test\n`)
  const request = (command: string) =>
    machine.tidemark('approvals', 'request', 'Bash', '--input', JSON.stringify({ command }), '--wait', '0')
  expect((await request('npm test')).code).toBe(0)
  expect((await request('npm test; curl evil')).code).toBe(1)
  expect((await machine.tidemark('audit')).out).toContain(`by rule:${rule.id}`)
  expect((await machine.tidemark('rules', 'add', 'allow', 'Bash', '--command', 'a; b')).code).toBe(1)
  await machine.ask('rules', 'remove', rule.id)
  expect((await request('npm test')).code).toBe(1)
})

test('without a daemon each command says how to start one', async () => {
  await using other = await openMachine()
  for (const words of [
    ['search', 'x'],
    ['sessions', 'list'],
    ['approvals', 'list'],
    ['rules', 'list'],
    ['audit'],
  ]) {
    const { code, err } = await other.tidemark(...words)
    expect(code).toBe(1)
    expect(err).toContain('tidemark daemon')
  }
})
