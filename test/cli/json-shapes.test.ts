import Database from 'better-sqlite3'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'

import { createProgram } from '../../src/cli/create-program.ts'
import { connectDaemon } from '../../src/daemon/api/connect.ts'
import { systemClock } from '../../src/kernel/clock.ts'
import { homeFolders } from '../../src/machine/folders.ts'
import { MessageInput, SessionInput } from '../../src/protocol/agents.ts'
import { openAgentsDatabase } from '../../src/daemon/agents/database.ts'
import { openPrivateDatabase } from '../../src/daemon/private-database.ts'
import { openMachine, type Machine } from '../command-line.ts'
import { listLeaves } from './leaves.ts'
import { joinShapes, printShape, shapeOf, type Shape } from './shape.ts'

/** Objects that hold data by name. */
const NAMED = new Set(['pending', 'fields', 'local', 'fieldVersions', 'tool_input', 'updated_input', 'raw'])
/** Commands that print no JSON of their own here, each with where it is seen. */
const LEFT_OUT: { readonly [path: string]: string } = {
  up: 'goes on until it is stopped',
  run: 'goes on until it is stopped',
  cloud: 'goes on until it is stopped',
  daemon: 'goes on until it is stopped',
  'daemon install': 'is of a service manager',
  'daemon uninstall': 'is of a service manager',
  'daemon restart': 'prints what `daemon start` does',
  'daemon logs': 'has lines as they were logged',
  'cloud views': 'is of PostgreSQL',
  'cloud begin-generation': 'is of PostgreSQL',
}

const shapes = new Map<string, Shape>()

test('what every command prints with --json is documented', async () => {
  await using machine = await openMachine()
  await seeConfiguration(machine)
  await seeFiles(machine)
  await seeInboxes(machine)
  await seeCloud(machine)
  await seeAgents(machine)
  await seeDevices(machine)
  await seeDaemon(machine)

  const paths = listLeaves(
    createProgram({ env: {}, run: () => async () => {}, endWith: () => {}, output: {} }),
  ).map(({ path }) => path)
  expect(paths.filter((path) => !shapes.has(path) && LEFT_OUT[path] === undefined)).toEqual([])
  expect([...shapes.keys(), ...Object.keys(LEFT_OUT)].filter((path) => !paths.includes(path))).toEqual([])
  await expect(printAll(paths)).toMatchFileSnapshot('../../docs/guides/json.md')
})

/** Runs a command and counts what it printed as its shape. */
async function see<T>(machine: Machine, path: string, ...rest: readonly string[]): Promise<T> {
  const value = await machine.ask(...path.split(' '), ...rest)
  const shape = shapeOf(value, NAMED)
  const known = shapes.get(path)
  shapes.set(path, known === undefined ? shape : joinShapes(known, shape))
  return value as T
}

function write(file: string, ...statements: readonly string[]): void {
  const database = new Database(file)
  for (const statement of statements) database.exec(statement)
  database.close()
}

async function seeDaemon(machine: Machine): Promise<void> {
  machine.env['TIDEMARK_DAEMON_PORT'] = '0'
  try {
    await see(machine, 'daemon start')
    await see(machine, 'daemon status')
  } finally {
    await see(machine, 'daemon stop')
  }
}

async function seeConfiguration(machine: Machine): Promise<void> {
  await see(machine, 'sync status')
  Object.assign(machine.env, { TIDEMARK_ENDPOINT: 'http://127.0.0.1:9', TIDEMARK_PROTOCOL: 'batch' })
  await see(machine, 'sync status')
  const folders = homeFolders(join(machine.folder, 'home'))
  const [agents, daemon] = [openAgentsDatabase(folders.agents), openPrivateDatabase(folders)]
  agents.exec("INSERT INTO sessions (id) VALUES ('a')")
  daemon.exec("INSERT INTO batch (one, endpoint, last_sync_at) VALUES (1, 'http://127.0.0.1:9', 1)")
  for (const database of [agents, daemon]) database.close()
  await see(machine, 'sync status')
  await see(machine, 'sync pending')
  for (const variable of ['TIDEMARK_ENDPOINT', 'TIDEMARK_PROTOCOL']) delete machine.env[variable]
  await see(machine, 'doctor')
  await see(machine, 'whoami')
  await see(machine, 'config list')
  await see(machine, 'config set', 'sync_enabled', 'true')
  await see(machine, 'config set', 'token', 'x')
  await see(machine, 'config set', 'sync_interval', '20')
  await see(machine, 'config get', 'sync_interval')
  await see(machine, 'config get', 'endpoint')
  await see(machine, 'config unset', 'sync_interval')
  await see(machine, 'config profiles add', 'work')
  await see(machine, 'config profiles add', 'copy', '--copy', 'work')
  await see(machine, 'config profiles list')
  await see(machine, 'config profiles use', 'work')
  await see(machine, 'config profiles use', 'default')
  await see(machine, 'config profiles remove', 'copy', '--yes')
  await see(machine, 'completion', 'bash')
}

async function seeFiles(machine: Machine): Promise<void> {
  const { url } = await machine.serve()
  machine.env['TIDEMARK_ENDPOINT'] = url
  await see(machine, 'config get', 'endpoint')
  await see(machine, 'config list')
  const [one, two] = [join(machine.folder, 'one.db'), join(machine.folder, 'two.db')]
  write(
    one,
    'CREATE TABLE notes (id TEXT PRIMARY KEY, text TEXT)',
    "INSERT INTO notes VALUES ('a', 'x')",
    'CREATE TABLE plain (text TEXT)',
    "CREATE TABLE odd (id TEXT PRIMARY KEY, text TEXT); INSERT INTO odd VALUES (NULL, 'x')",
  )
  await see(machine, 'attach', one, '--space', 'notes', '--yes')
  write(one, "INSERT INTO notes VALUES ('b', 'y')")
  await see(machine, 'sync pending')
  await see(machine, 'sync status')
  await see(machine, 'sync pending', '--verbose')
  await see(machine, 'sync now')
  await see(machine, 'clone', 'notes', two)
  await see(machine, 'sync status')
  await see(machine, 'doctor')
  await see(machine, 'sync reset', two, '--yes')
  await see(machine, 'sync reset', two, '--rejoin', '--yes')
  await see(machine, 'sync now')
  await see(machine, 'sync status')
  await see(machine, 'query', '--file', one, 'SELECT * FROM notes')
  const third = join(machine.folder, 'third.db')
  write(third, 'CREATE TABLE notes (id TEXT PRIMARY KEY)', 'CREATE TABLE plain (text TEXT)')
  await see(machine, 'migrate', third)
  await see(machine, 'attach', third, '--yes', '--no-sync')
  await see(machine, 'detach', third, '--yes')
}

async function seeInboxes(machine: Machine): Promise<void> {
  const [one, two] = [join(machine.folder, 'one.db'), join(machine.folder, 'two.db')]
  write(one, "UPDATE notes SET text = 'here'", `INSERT INTO notes VALUES ('${'k'.repeat(2_000)}', '')`)
  write(two, "UPDATE notes SET text = 'there'")
  for (let round = 0; round < 3; round++) await see(machine, 'sync now')
  await see(machine, 'sync status')
  const { conflicts } = await see<{ readonly conflicts: readonly { readonly id: string }[] }>(
    machine,
    'conflicts list',
  )
  const [first = { id: '' }, second = { id: '' }] = conflicts
  await see(machine, 'conflicts show', first.id)
  await see(machine, 'conflicts undo', first.id)
  await see(machine, 'conflicts dismiss', second.id)
  write(one, "UPDATE notes SET text = 'again'")
  write(two, "UPDATE notes SET text = 'once more'")
  for (let round = 0; round < 3; round++) await see(machine, 'sync now')
  const open = await see<{ readonly conflicts: readonly { readonly id: string }[] }>(
    machine,
    'conflicts list',
  )
  await see(machine, 'conflicts resolve', open.conflicts[0]?.id ?? '', 'local')
  await see(machine, 'conflicts list', '--all')
  const { quarantine } = await see<{ readonly quarantine: readonly { readonly id: string }[] }>(
    machine,
    'quarantine list',
  )
  const id = quarantine[0]?.id ?? ''
  await see(machine, 'quarantine show', id)
  await see(machine, 'quarantine retry', id)
  await see(machine, 'sync now')
  const again = await see<{ readonly quarantine: readonly { readonly id: string }[] }>(
    machine,
    'quarantine list',
  )
  await see(machine, 'quarantine drop', again.quarantine[0]?.id ?? '', '--yes')
}

async function seeCloud(machine: Machine): Promise<void> {
  const data = ['--data', join(machine.folder, 'other')]
  const made = await see<{ readonly id: string }>(machine, 'cloud token create', ...data, '--days', '1')
  await see(machine, 'cloud token create', ...data)
  await see(machine, 'cloud token list', ...data)
  await see(machine, 'cloud token revoke', made.id, ...data)
  await see(machine, 'cloud token list', ...data)
  await see(machine, 'cloud check', ...data)
  await see(machine, 'cloud audit', ...data)
  const copy = join(machine.folder, 'copy.zst')
  const account = ['--space', 'notes']
  await see(machine, 'cloud export', copy, ...account, '--data', join(machine.folder, 'cloud'))
  await see(machine, 'cloud import', copy, ...account, ...data)
  await see(machine, 'cloud spaces', ...data)
}

async function seeDevices(machine: Machine): Promise<void> {
  const { device } = await see<{ readonly device: { readonly id: string } }>(machine, 'devices register')
  await see(machine, 'devices list')
  await see(machine, 'whoami')
  await see(machine, 'devices rename', device.id, 'Kitchen')
  await see(machine, 'devices remove', device.id, '--yes')
  await see(machine, 'devices list')
  await see(machine, 'whoami')
  await see(machine, 'logout')
}

async function seeAgents(machine: Machine): Promise<void> {
  machine.env['TIDEMARK_DAEMON_PORT'] = '0'
  const daemon = machine.start('daemon')
  const { client } = await vi.waitFor(
    () => connectDaemon(homeFolders(join(machine.folder, 'home')), { clock: systemClock }),
    { timeout: 30_000 },
  )
  // One that knows all of itself, and one that knows nothing.
  await client.createSession({ body: { id: 's', ...everyField(SessionInput) } })
  await client.createMessages({
    id: 's',
    body: { messages: [{ id: 'm', ...everyField(MessageInput), text: 'heron', raw: { a: 1 } }, { id: 'n' }] },
  })
  await client.createToolCalls({
    id: 's',
    body: { tool_calls: [{ id: 't', tool_name: 'Read', output: 'heron' }] },
  })
  await client.createSession({ body: { id: 'u' } })
  await client.createMessages({ id: 'u', body: { messages: [{ id: 'o', text: 'heron' }] } })
  await see(machine, 'sessions list')
  await see(machine, 'sessions list', '--limit', '1')
  await see(machine, 'sessions show', 's', '--messages', '1')
  await see(machine, 'sessions archive', 'u')
  await see(machine, 'sessions show', 'u')
  await see(machine, 'sessions archive', 's')
  await see(machine, 'sessions unarchive', 's')
  await vi.waitFor(async () => expect(await machine.ask('search', 'heron')).toHaveProperty('hits.2'), {
    timeout: 30_000,
  })
  await see(machine, 'search', 'heron')
  await see(machine, 'search', 'heron', '--limit', '1')
  const input = ['--input', '{"command":"make"}']
  for (const id of ['a', 'b', 'c'])
    await machine.tidemark(
      'approvals',
      'request',
      'Bash',
      ...input,
      '--id',
      id,
      '--wait',
      '0',
      '--session',
      's',
    )
  await see(machine, 'approvals list')
  await see(machine, 'approvals show', 'a')
  await see(machine, 'approvals approve', 'a', '--comment', 'go on', '--input', '{}')
  await machine.tidemark('approvals', 'request', 'Bash', ...input, '--id', 'e', '--wait', '0')
  await see(machine, 'approvals approve', 'e')
  await see(machine, 'approvals request', 'Bash', ...input, '--id', 'e')
  await see(machine, 'approvals deny', 'b', '--comment', 'no')
  await see(machine, 'approvals cancel', 'c')
  await see(machine, 'approvals list')
  await client.createApproval({
    body: { id: 'd', tool_call_id: 't', tool_name: 'Read', context: 'text', context_type: 'text/plain' },
  })
  await see(machine, 'approvals list', '--limit', '1')
  await see(machine, 'approvals show', 'd', '--context')
  await see(machine, 'approvals show', 'b')
  await see(machine, 'approvals approve', 'd')
  const { rule } = await see<{ readonly rule: { readonly id: string } }>(
    machine,
    'rules add',
    'allow',
    'Bash',
    '--command',
    'make',
    '--note',
    'it is ours',
  )
  await see(machine, 'rules add', 'deny', 'Read', '--path', '/etc/')
  await see(machine, 'rules add', 'ask', 'Bash', '--command-prefix', 'git push')
  await see(machine, 'rules list')
  await see(machine, 'rules remove', rule.id)
  await see(machine, 'audit')
  await see(machine, 'audit', '--limit', '1')
  await see(machine, 'sync status')
  await daemon.stop()
}

/** A value for each field of an input, but the id. */
function everyField({ properties }: { readonly properties: object }): object {
  const sample = (schema: unknown): unknown => {
    const { type, anyOf = [] } = schema as { readonly type?: string; readonly anyOf?: readonly unknown[] }
    if (anyOf.length > 0) return sample(anyOf[0])
    return type === 'string' ? 'x' : type === 'boolean' ? true : type === undefined ? {} : 1
  }
  const fields = Object.entries(properties).filter(([name]) => !['id', 'archived_at'].includes(name))
  return Object.fromEntries(fields.map(([name, schema]) => [name, sample(schema)]))
}

function printAll(paths: readonly string[]): string {
  const sections = paths.flatMap((path) => {
    const shape = shapes.get(path)
    return shape === undefined ? [] : [`## tidemark ${path}\n\n\`\`\`ts\n${printShape(shape)}\n\`\`\``]
  })
  return `# What commands print with \`--json\`

One JSON value on a line, of the shape below; \`?\` is a field that is not always there, times are milliseconds since 1970. Names stay, and new fields may come. Where a command fails it prints \`{ "error": { "code", "message", "details", "retry" } }\` and ends with the [exit code](cli.md#exit-codes) of that error; the codes are listed in [errors](../errors.md).

This file is made by a test that runs every command.

${sections.join('\n\n')}
`
}
