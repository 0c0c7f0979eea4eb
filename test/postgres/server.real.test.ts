import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { cp, mkdir, mkdtemp, readFile, readlink, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import pg from 'pg'
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'

import { askNumbers as ask } from './ask.ts'
import { makeLinks } from './binaries.ts'
import { openTestDatabase } from './database.ts'
import { describeOwnPostgres } from './own.ts'
import { startPostgres, type OwnPostgres } from './server.ts'

const SERVER = new URL('server.ts', import.meta.url).href
/** Says which server it has, and lives until it is killed. */
const OWNER = `
const { startPostgres } = await import('${SERVER}')
const { pid, folder } = await startPostgres()
console.log(JSON.stringify({ pid, folder }))
setInterval(() => {}, 1_000)
`

const undo: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step()
})

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

describeOwnPostgres('a PostgreSQL of our own', () => {
  let server: OwnPostgres
  beforeAll(async () => {
    server = await startPostgres({ flags: ['fsync=off'] })
  })
  afterAll(() => server[Symbol.asyncDispose]())

  test('killed with -9 it keeps its rows, and copies of its files go back', async () => {
    const { url, pid } = server
    await ask(url, 'CREATE TABLE t (n int)')
    await ask(url, 'INSERT INTO t VALUES (1)')
    const early = await server.copyFiles()
    await ask(url, 'INSERT INTO t VALUES (2)')
    await server.kill()
    expect(isAlive(pid)).toBe(false)
    await expect(ask(url, 'SELECT 1')).rejects.toMatchObject({ code: 'ECONNREFUSED' })
    const late = await server.copyFiles()
    await server.start()
    expect(server.log()).toContain('not properly shut down')
    expect(await ask(server.url, 'SELECT n FROM t ORDER BY n')).toEqual([1, 2])

    await expect(server.restoreFiles(early)).rejects.toThrow('does not run')
    await server.stop()
    await server.restoreFiles(early)
    await server.start()
    expect(server.url).toBe(url)
    // It was put back as a base backup, not as files that happen to fit together.
    expect(existsSync(join(server.folder, 'data/backup_label.old'))).toBe(true)
    expect(await ask(url, 'SELECT n FROM t ORDER BY n')).toEqual([1])
    await server.kill()
    await server.restoreFiles(late)
    await server.start()
    expect(await ask(url, 'SELECT n FROM t ORDER BY n')).toEqual([1, 2])
  })

  test.skipIf(process.platform !== 'linux')('paused it answers nobody, and goes on afterwards', async () => {
    const client = new pg.Client({ connectionString: server.url })
    await client.connect()
    const { rows } = await client.query<{ readonly n: number }>('SELECT pg_backend_pid() AS n')
    const stateOf = async (pid: number | undefined): Promise<string | undefined> =>
      (await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ')[1]?.[0]
    await server.pause()
    const answer = client.query('SELECT 2 AS n')
    expect([await stateOf(server.pid), await stateOf(rows[0]?.n)]).toEqual(['T', 'T'])
    server.resume()
    expect((await answer).rows).toEqual([{ n: 2 }])
    await client.end()
    await server.pause()
    await server.kill()
    await server.start()
    expect(await ask(server.url, 'SELECT 1 AS n')).toEqual([1])
  })

  test('an owner killed with -9 leaves neither its server nor its folder', async () => {
    const owner = spawn(process.execPath, ['--input-type=module', '-e', OWNER], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    undo.push(async () => void owner.kill('SIGKILL'))
    const line = await new Promise<string>((resolve, reject) => {
      owner.stdout.once('data', (text: Buffer) => resolve(text.toString()))
      owner.once('exit', (code) => reject(new Error(`the owner ended with ${code}`)))
    })
    const { pid, folder } = JSON.parse(line) as { readonly pid: number; readonly folder: string }
    expect([isAlive(pid), existsSync(folder)]).toEqual([true, true])
    owner.kill('SIGKILL')
    await vi.waitFor(() => expect([isAlive(pid), existsSync(folder)]).toEqual([false, false]), 50_000)
  })

  test('a server that refuses to start says why', async () => {
    const refused = startPostgres({ flags: ['no_such_setting=1'] })
    await expect(refused).rejects.toThrow('unrecognized configuration parameter "no_such_setting"')
  })

  test('the port of a server that was stopped is waited for', async () => {
    await server.stop()
    const other = createServer()
    const { port } = new URL(server.url)
    await new Promise<void>((resolve) => other.listen(Number(port), '127.0.0.1', resolve))
    const started = server.start()
    await vi.waitFor(() => expect(server.log()).toContain('Address already in use'), 50_000)
    other.close()
    await started
    expect(await ask(server.url, 'SELECT 1 AS n')).toEqual([1])
  })
})

test('links that the package lacks are made, by several at once and again', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-links-'))
  undo.push(() => rm(folder, { recursive: true }))
  const lib = join(folder, 'native/lib')
  await mkdir(lib, { recursive: true })
  const links = ['libone.so', 'libone.so.1'].map((name) => ({
    source: 'native/lib/libone.so.1.2',
    target: `native/lib/${name}`,
  }))
  await cp(import.meta.filename, join(lib, 'libone.so.1.2'))
  await writeFile(join(folder, 'native/pg-symlinks.json'), JSON.stringify(links))
  expect([makeLinks(folder), makeLinks(folder)]).toEqual([true, true])
  expect(await readlink(join(lib, 'libone.so'))).toBe('libone.so.1.2')
  expect(await readlink(join(lib, 'libone.so.1'))).toBe('libone.so.1.2')
})

test('each asks for a database of its own, which goes with whoever is connected to it', async () => {
  await using kept = await openTestDatabase()
  const dropped = await openTestDatabase()
  expect(dropped.url).not.toBe(kept.url)
  const client = new pg.Client({ connectionString: dropped.url })
  const broken = new Promise((resolve) => client.on('error', resolve))
  await client.connect()
  await client.query('CREATE TABLE t (n int)')
  await dropped[Symbol.asyncDispose]()
  await broken
  const count = `SELECT count(*)::int AS n FROM pg_database WHERE datname = '${new URL(dropped.url).pathname.slice(1)}'`
  expect(await ask(kept.url, count)).toEqual([0])
  expect(await ask(kept.url, 'SELECT count(*)::int AS n FROM pg_tables WHERE tablename = $$t$$')).toEqual([0])
})
