import { spawn } from 'node:child_process'
import { spaceOfRows } from './cloud/copied-space.ts'
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'

import Database from 'better-sqlite3'
import { expect, test } from 'vitest'

import { ExportDigest } from '../src/cloud/export/digest.ts'
import type { HeaderLine } from '../src/cloud/export/lines.ts'
import { runCli } from '../src/cli/program.ts'
import { openMachine, type Machine } from './command-line.ts'

const MAIN = join(import.meta.dirname, '../src/cli/main.ts')

interface Moved {
  readonly records: number
  readonly replicas: number
  readonly head: number
  readonly hash: string
}
interface Listed {
  readonly spaces: readonly {
    readonly account: string
    readonly name: string
    readonly head: number
    readonly records: number
  }[]
}

function change(file: string, sql: string): void {
  const database = new Database(file)
  try {
    database.exec(sql)
  } finally {
    database.close()
  }
}

function rowsOf(file: string): readonly unknown[] {
  const database = new Database(file, { readonly: true })
  try {
    return database.prepare('SELECT * FROM notes ORDER BY id').raw().all()
  } finally {
    database.close()
  }
}

/** A file with some rows, attached to the space `notes` of a cloud on this machine. */
async function withNotes(machine: Machine): Promise<{ readonly file: string; readonly url: string }> {
  const cloud = await machine.serve()
  await machine.tidemark('config', 'set', 'endpoint', cloud.url)
  const file = join(machine.folder, 'notes.db')
  change(
    file,
    `CREATE TABLE notes (id TEXT PRIMARY KEY, text TEXT UNIQUE); INSERT INTO notes VALUES ('1', 'one'), ('2', 'two')`,
  )
  await machine.ask('attach', file, '--yes', '--space', 'notes')
  return { file, url: cloud.url }
}

test('I1, I11: a space moves to another cloud, and what its devices did meanwhile is not lost', async () => {
  await using old = await openMachine()
  await using other = await openMachine()
  const { file } = await withNotes(old)
  const second = join(old.folder, 'second.db')
  await old.ask('clone', 'notes', second)

  // While the cloud serves.
  const data = join(old.folder, 'cloud')
  const exported = join(old.folder, 'notes.zst')
  const told = (await old.ask('cloud', 'export', exported, '--data', data, '--space', 'notes')) as Moved
  expect(told).toMatchObject({ records: 2, replicas: 2, head: 2 })
  expect(statSync(exported).size).toBeGreaterThan(0)
  // One device goes on with the old cloud, the other one has something that it has not sent.
  change(
    file,
    `UPDATE notes SET text = 'two, edited' WHERE id = '2'; INSERT INTO notes VALUES ('3', 'after the export')`,
  )
  await old.ask('sync', 'now', file)
  change(second, `INSERT INTO notes VALUES ('4', 'not sent yet')`)

  const there = join(other.folder, 'cloud')
  const imported = (await other.ask(
    'cloud',
    'import',
    exported,
    '--data',
    there,
    '--space',
    'notes',
  )) as Moved
  expect(imported).toMatchObject({ records: 2, replicas: 2, head: 2, hash: told.hash })
  expect(((await other.ask('cloud', 'spaces', '--data', there)) as Listed).spaces).toMatchObject([
    { account: 'default', name: 'notes', head: 2, records: 2 },
  ])

  const cloud = await other.serve()
  await old.tidemark('config', 'set', 'endpoint', cloud.url)
  await old.tidemark(
    'config',
    'set',
    'token',
    (await other.tidemark('cloud', 'token', 'create', '--data', there)).out.trim(),
  )
  for (let round = 0; round < 3; round++)
    for (const each of [file, second]) await old.ask('sync', 'now', each)
  expect(rowsOf(file)).toEqual([
    ['1', 'one'],
    ['2', 'two, edited'],
    ['3', 'after the export'],
    ['4', 'not sent yet'],
  ])
  expect(rowsOf(second)).toEqual(rowsOf(file))
})

test('refusals say what to do, and change nothing', async () => {
  await using machine = await openMachine()
  const { folder } = machine
  await withNotes(machine)
  const data = join(folder, 'cloud')
  const file = join(folder, 'notes.ndjson')
  await machine.ask('cloud', 'export', file, '--data', data, '--space', 'notes')
  const text = readFileSync(file, 'utf8')
  const there = join(folder, 'other')
  const cut = join(folder, 'cut.ndjson')
  writeFileSync(cut, text.slice(0, -200))
  const code = async (...args: readonly string[]): Promise<string> => {
    const { out } = await machine.tidemark('--json', 'cloud', ...args)
    return (JSON.parse(out) as { readonly error: { readonly code: string } }).error.code
  }
  expect(await code('export', file, '--data', data, '--space', 'notes')).toBe('file_exists')
  expect(await code('export', join(folder, 'x'), '--data', data, '--space', 'other')).toBe('space_not_found')
  expect(await code('export', join(folder, 'x'), '--data', there, '--space', 'notes')).toBe('file_not_found')
  expect(await code('export', '-', '--data', data, '--space', 'notes')).toBe('bad_usage')
  expect(await code('import', file, '--data', data, '--space', 'again')).toBe('in_use')
  expect(await code('import', cut, '--data', there, '--space', 'notes')).toBe('not_an_export')
  expect(await code('import', join(folder, 'none'), '--data', there, '--space', 'notes')).toBe(
    'file_not_found',
  )
  expect(await code('import', file, '--data', there, '--space', 'no name')).toBe('bad_usage')
  expect(await machine.ask('cloud', 'spaces', '--data', there)).toEqual({ spaces: [] })
  await machine.ask('cloud', 'import', file, '--data', there, '--space', 'notes')
  expect(await code('import', file, '--data', there, '--space', 'notes')).toBe('space_not_empty')
  await machine.ask('cloud', 'import', file, '--data', there, '--space', 'second', '--account', 'b')
  const { out } = await machine.tidemark('cloud', 'spaces', '--data', there)
  expect(out).toMatch(
    /^b +second +version 2, 2 rows, 1 replica\ndefault +notes +version 2, 2 rows, 1 replica\n$/,
  )
})

test('through a pipe', async () => {
  await using machine = await openMachine()
  await withNotes(machine)
  const { out, err, code } = await machine.tidemark(
    'cloud',
    'export',
    '-',
    '--data',
    join(machine.folder, 'cloud'),
    '--space',
    'notes',
  )
  expect([code, out.split('\n').length]).toEqual([0, 6])
  expect(err).toMatch(/^2 records and 1 replica of notes, up to version 2\.\nhash [0-9a-f]{64}\n$/)
  let said = ''
  const there = join(machine.folder, 'other')
  const exit = await runCli(['--json', 'cloud', 'import', '-', '--data', there, '--space', 'notes'], {
    out: { write: (text) => (said += text) },
    err: { write: () => {} },
    env: { HOME: machine.folder },
    input: Readable.from([out]),
    signal: new AbortController().signal,
  })
  expect([exit, JSON.parse(said)]).toEqual([0, expect.objectContaining({ records: 2, head: 2 })])
})

/** Many megabytes of rows, as an export writes them. */
function largeExport(count: number): string {
  const digest = new ExportDigest()
  const header: HeaderLine = {
    format: 'tidemark-space',
    version: 1,
    ...spaceOfRows(count),
  }
  const records = Array.from({ length: count }, (_, at) => ({
    table: 'notes',
    key: `["${at}"]`,
    version: at + 1,
    hlc: 1,
    by: 'a',
    fields: { text: 'long '.repeat(1_500) },
  }))
  digest.header(header)
  digest.addRecords(records)
  return [header, ...records, digest.end()].map((line) => `${JSON.stringify(line)}\n`).join('')
}

test('I5: an import that is killed leaves nothing, and can be made again', async () => {
  await using machine = await openMachine()
  const exported = join(machine.folder, 'notes.ndjson')
  writeFileSync(exported, largeExport(2_500))
  const there = join(machine.folder, 'other')
  const text = readFileSync(exported)

  const child = spawn(
    process.execPath,
    [
      MAIN,
      '--home',
      join(machine.folder, 'home'),
      'cloud',
      'import',
      '-',
      '--data',
      there,
      '--space',
      'notes',
    ],
    { stdio: ['pipe', 'ignore', 'ignore'] },
  )
  const gone = new Promise((resolve) => child.once('exit', resolve))
  child.stdin.on('error', () => {})
  // All but the end: more than its memory holds, so that some of it is in the file.
  child.stdin.write(text.subarray(0, text.length - 300))
  const wal = join(there, 'cloud.db-wal')
  const size = (): number => statSync(wal, { throwIfNoEntry: false })?.size ?? 0
  for (let tries = 0; tries < 400 && size() < 2e6; tries++)
    await new Promise((resolve) => setTimeout(resolve, 50))
  expect(size()).toBeGreaterThan(2e6)
  child.kill('SIGKILL')
  await gone

  const list = async (): Promise<Listed> => (await machine.ask('cloud', 'spaces', '--data', there)) as Listed
  expect((await list()).spaces).toMatchObject([{ name: 'notes', head: 0, records: 0 }])
  await machine.ask('cloud', 'import', exported, '--data', there, '--space', 'notes')
  expect((await list()).spaces).toMatchObject([{ name: 'notes', head: 2_500, records: 2_500 }])
})
