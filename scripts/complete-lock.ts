/**
 * Completes package-lock.json after a change of dependencies.
 *
 * Tools with native parts list one optional package per platform. A registry mirror that carries only some
 * platforms makes `npm install` leave the others out of the lockfile, and then `npm ci` refuses it as out of
 * sync, on every machine. The missing entries are written from what the package's name says; npm takes their
 * place on a matching platform from the registry, and skips them elsewhere.
 *
 * `node scripts/complete-lock.ts` writes; `--check` only tells (exit code 1).
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs'

interface LockEntry {
  version?: string
  dev?: boolean
  optional?: boolean
  os?: string[]
  cpu?: string[]
  libc?: string[]
  optionalDependencies?: Record<string, string>
}

export interface Lock {
  packages: Record<string, LockEntry>
}

const SYSTEMS = [
  'aix',
  'android',
  'darwin',
  'freebsd',
  'linux',
  'netbsd',
  'openbsd',
  'openharmony',
  'sunos',
  'win32',
]
const PROCESSORS = ['arm', 'arm64', 'ia32', 'loong64', 'mips64el', 'ppc64', 'riscv64', 's390x', 'x64']

/** The optional packages that no entry stands for, each as the entry it should have. */
export function listMissing(lock: Lock): Map<string, LockEntry> {
  const missing = new Map<string, LockEntry>()
  for (const [place, entry] of Object.entries(lock.packages)) {
    for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
      if (isLocked(lock, place, name)) continue
      missing.set(`node_modules/${name}`, {
        version,
        ...(entry.dev === true ? { dev: true } : {}),
        optional: true,
        ...platformOf(name),
      })
    }
  }
  return missing
}

function isLocked(lock: Lock, from: string, name: string): boolean {
  for (let place = from; ;) {
    if (lock.packages[`${place === '' ? '' : `${place}/`}node_modules/${name}`] !== undefined) return true
    if (place === '') return false
    const above = place.lastIndexOf('/node_modules/')
    place = above < 0 ? '' : place.slice(0, above)
  }
}

function platformOf(name: string): Pick<LockEntry, 'os' | 'cpu' | 'libc'> {
  const parts = name.split(/[/-]/)
  const os = SYSTEMS.find((system) => parts.includes(system))
  const cpu = PROCESSORS.find((processor) => parts.includes(processor))
  if (os === undefined || cpu === undefined) throw new Error(`No platform can be read from the name ${name}`)
  const musl = parts.some((part) => part.startsWith('musl'))
  const glibc = parts.some((part) => part.startsWith('gnu'))
  if (os !== 'linux' || !(musl || glibc)) return { os: [os], cpu: [cpu] }
  return { os: [os], cpu: [cpu], libc: [musl ? 'musl' : 'glibc'] }
}

if (import.meta.main) {
  const file = new URL('../package-lock.json', import.meta.url)
  const lock = JSON.parse(readFileSync(file, 'utf8')) as Lock
  const missing = listMissing(lock)
  if (process.argv.includes('--check')) {
    for (const place of missing.keys())
      console.error(`package-lock.json lacks ${place}: run \`npm run lock\``)
    process.exitCode = missing.size === 0 ? 0 : 1
  } else {
    const [root, ...others] = Object.entries({ ...lock.packages, ...Object.fromEntries(missing) })
    others.sort(([a], [b]) => (a < b ? -1 : 1))
    lock.packages = Object.fromEntries(root === undefined ? [] : [root, ...others])
    writeFileSync(new URL('../package-lock.json.new', import.meta.url), `${JSON.stringify(lock, null, 2)}\n`)
    renameSync(new URL('../package-lock.json.new', import.meta.url), file)
    console.log(`package-lock.json: ${missing.size} entries added`)
  }
}
