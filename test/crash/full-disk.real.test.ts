import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

import Database from 'better-sqlite3'
import { afterEach, describe, expect, it } from 'vitest'

import { compareFiles } from '../../src/daemon/compare.ts'

const MAIN = new URL('../../src/cli/main.ts', import.meta.url).pathname
const ROWS = 3_000
const TABLES = [{ name: 'notes', key: ['id'] }]

/** A file system of a few megabytes: a real full disk. Needs root on Linux. */
function mountSmall(folder: string, mebibytes: number): boolean {
  mkdirSync(folder, { recursive: true })
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${mebibytes}m`, 'tmpfs', folder], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

const undo: (() => void)[] = []
afterEach(() => {
  for (const step of undo.splice(0).reverse()) step()
})

function setUp(): { readonly folder: string; readonly small: string; readonly mounted: boolean } {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-full-'))
  undo.push(() => rmSync(folder, { recursive: true, force: true }))
  const small = join(folder, 'small')
  const mounted = mountSmall(small, 24)
  if (mounted) undo.push(() => execFileSync('umount', ['-l', small]))
  return { folder, small, mounted }
}

function tidemark(home: string, ...args: string[]): { readonly code: number; readonly text: string } {
  try {
    const text = execFileSync(process.execPath, [MAIN, '--home', home, ...args], {
      encoding: 'utf8',
      stdio: 'pipe',
    })
    return { code: 0, text: text.trim() }
  } catch (error) {
    const { status, stderr, stdout } = error as { status: number; stderr: string; stdout: string }
    return { code: status, text: `${stdout}${stderr}` }
  }
}

async function startCloud(
  home: string,
  data: string,
): Promise<{ readonly url: string; readonly child: ChildProcess }> {
  const child = spawn(
    process.execPath,
    [MAIN, '--home', home, '--json', 'cloud', '--port', '0', '--data', data],
    {
      stdio: ['ignore', 'pipe', 'ignore'],
    },
  )
  undo.push(() => child.kill('SIGKILL'))
  const line = await new Promise<string>((resolve, reject) => {
    createInterface({ input: child.stdout }).once('line', resolve)
    child.once('exit', () => reject(new Error('the cloud ended')))
  })
  return { url: (JSON.parse(line) as { readonly url: string }).url, child }
}

function makeNotes(file: string, rows: number): void {
  const database = new Database(file)
  database.exec('CREATE TABLE notes (id TEXT PRIMARY KEY, body TEXT)')
  const add = database.prepare('INSERT INTO notes VALUES (?, ?)')
  database.transaction(() => {
    for (let at = 0; at < rows; at++) add.run(`n${at}`, `${at} `.repeat(200))
  })()
  database.close()
}

/** Fills what is left of the disk, so that the very next write fails. */
function fill(folder: string): void {
  const chunk = Buffer.alloc(64 * 1024)
  try {
    for (let at = 0; at < 1_000; at++) writeFileSync(join(folder, `fill-${at}`), chunk)
  } catch {
    // Full.
  }
}

const makeRoom = (folder: string) => execFileSync('sh', ['-c', `rm -f ${folder}/fill-*`])

const isWhole = (file: string): unknown => {
  const database = new Database(file, { readonly: true })
  try {
    return database.pragma('integrity_check', { simple: true })
  } finally {
    database.close()
  }
}

describe('a full disk', () => {
  it('of the cloud: a clear error, nothing corrupt, and on it goes when there is room', async (context) => {
    const { folder, small, mounted } = setUp()
    if (!mounted) return context.skip('a small file system cannot be mounted here')
    const homes = { cloud: join(folder, 'cloud'), a: join(folder, 'a'), b: join(folder, 'b') }
    const files = { a: join(folder, 'a.db'), b: join(folder, 'b.db') }
    const { url } = await startCloud(homes.cloud, small)
    const token = tidemark(homes.cloud, 'cloud', 'token', 'create', '--data', small).text
    for (const home of [homes.a, homes.b]) {
      tidemark(home, 'config', 'set', 'endpoint', url)
      tidemark(home, 'config', 'set', 'token', token)
    }
    makeNotes(files.a, ROWS)
    expect(tidemark(homes.a, 'attach', files.a, '--space', 's', '--yes', '--no-sync').code).toBe(0)
    fill(small)
    const full = tidemark(homes.a, 'sync', 'now', files.a)
    expect(full.code).toBe(1)
    expect(full.text).toMatch(/No room is left on the disk|The disk failed, or is full/)
    makeRoom(small)
    expect(tidemark(homes.a, 'sync', 'now', files.a)).toMatchObject({ code: 0 })
    expect(tidemark(homes.b, 'clone', 's', files.b)).toMatchObject({ code: 0 })
    expect(compareFiles(files.a, files.b, TABLES)).toEqual([{ table: 'notes', rows: ROWS, differing: 0 }])
  })

  it('of a client: a clear error, nothing corrupt, and on it goes when there is room', async (context) => {
    const { folder, small, mounted } = setUp()
    if (!mounted) return context.skip('a small file system cannot be mounted here')
    const homes = { cloud: join(folder, 'cloud'), a: join(folder, 'a'), b: join(folder, 'b') }
    const files = { a: join(folder, 'a.db'), b: join(small, 'b.db') }
    const { url } = await startCloud(homes.cloud, join(folder, 'data'))
    const token = tidemark(homes.cloud, 'cloud', 'token', 'create', '--data', join(folder, 'data')).text
    for (const home of [homes.a, homes.b]) {
      tidemark(home, 'config', 'set', 'endpoint', url)
      tidemark(home, 'config', 'set', 'token', token)
    }
    makeNotes(files.a, ROWS)
    expect(tidemark(homes.a, 'attach', files.a, '--space', 's', '--yes').code).toBe(0)
    expect(tidemark(homes.b, 'clone', 's', files.b, '--no-sync')).toMatchObject({ code: 0 })
    fill(small)
    const full = tidemark(homes.b, 'sync', 'now', files.b)
    expect(full.code).toBe(1)
    expect(full.text).toMatch(/No room is left on the disk|The disk failed, or is full/)
    makeRoom(small)
    expect(tidemark(homes.b, 'sync', 'now', files.b)).toMatchObject({ code: 0 })
    expect(isWhole(files.b)).toBe('ok')
    expect(compareFiles(files.a, files.b, TABLES)).toEqual([{ table: 'notes', rows: ROWS, differing: 0 }])
  })
})
