import { lstat, realpath } from 'node:fs/promises'
import { posix } from 'node:path'

import { textsOfPlaces } from './input-fields.ts'

/** Longest path that is looked at, in characters: no system takes more. */
const MAX_PATH_CHARS = 4_096
/** Deepest path that is followed: each segment is a question to the disk. */
const MAX_SEGMENTS = 256
/** Most paths of one input that are looked up; one with more is asked about where a rule is against a path. */
const MAX_PLACES = 64

/** Why a path is not the one way to name its place: no rule can be about it. Null: it is. */
export function placeFault(path: string): string | null {
  if (path.length > MAX_PATH_CHARS) return `it is longer than ${MAX_PATH_CHARS} characters`
  if (!path.startsWith('/')) return 'it does not begin with /'
  if (!path.isWellFormed() || path.includes('\0')) return 'it has NUL or half a character in it'
  const segments = path.slice(1).split('/')
  if (segments.at(-1) === '') segments.pop()
  return segments.some((segment) => segment === '' || segment === '.' || segment === '..')
    ? 'it has an empty segment, . or .. in it'
    : null
}

/** Why no allow rule matches a path; null: it means the same to every tool. */
export function pathFault(path: string): string | null {
  const fault = placeFault(path)
  if (fault !== null) return fault
  if (path !== path.normalize('NFC')) return 'it is not in the normal form of Unicode (NFC)'
  // What nobody sees, what some tools expand, and what Windows and macOS read in their own way.
  if (/[\p{C}\p{Zl}\p{Zp}*?[\]{}$`%~\\:"'<>|;&!]|[^\P{Zs} ]/u.test(path))
    return 'it has invisible characters, or some that a tool may expand'
  return path.split('/').some((segment) => /^ |[ .]$/.test(segment))
    ? 'a segment begins or ends with a blank, or ends with a dot'
    : null
}

/** The folder (ending in a slash) or file of a rule holds the place. */
export const holds = (rule: string, place: string): boolean =>
  rule.endsWith('/') ? place.startsWith(rule) : place === rule

/**
 * Where a path leads: the place where its last name stands, and where that leads, all links followed. What is not there
 * yet counts by its nearest folder that is. Null: that can't be said (a link into nowhere, a loop, no access), and no
 * allow rule matches it. A link made between this look and the tool's own is not seen.
 */
export type Places = (path: string) => readonly string[] | null

export async function placesOf(path: string): Promise<readonly string[] | null> {
  try {
    const folder = await realPlace(posix.dirname(path))
    return [posix.join(folder, posix.basename(path)), await realPlace(path)]
  } catch {
    return null
  }
}

async function realPlace(path: string): Promise<string> {
  if (path.split('/').length > MAX_SEGMENTS) throw new RangeError('the path is too deep to be followed')
  let rest = ''
  for (let at = path; ; at = posix.dirname(at)) {
    const there = await lstat(at).then(
      () => true,
      (error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT' && at !== '/') return false
        throw error
      },
    )
    if (there) return posix.join(await realpath(at), rest)
    rest = posix.join(posix.basename(at), rest)
  }
}

/**
 * All that an input may name as a place, for rules against paths: whole texts and the words of them, relative ones from
 * the root and from every absolute one, `~` from `home`. Null: more than are looked at.
 */
export function namedPaths(input: unknown, home: string): readonly string[] | null {
  const named = new Set<string>()
  for (const text of textsOfPlaces(input)) {
    if (text.length > MAX_PATH_CHARS * 4) return null
    for (const word of [text, ...text.split(/[\s"'`;|&<>(){}=,$]+/)]) {
      if (word !== '' && word.length <= MAX_PATH_CHARS) named.add(asPath(word, home))
      if (named.size > MAX_PLACES) return null
    }
  }
  const bases = [...named].filter((path) => path.startsWith('/'))
  const paths = new Set(bases)
  for (const path of named) {
    if (path.startsWith('/')) continue
    for (const base of ['/', ...bases]) paths.add(posix.resolve(base, path))
    if (paths.size > MAX_PLACES) return null
  }
  return [...paths]
}

function asPath(word: string, home: string): string {
  const bare = word.replace(/^file:\/\/(?:localhost)?/i, '').replaceAll('\0', '')
  if (bare === '~' || bare.startsWith('~/')) return posix.resolve(home, `.${bare.slice(1)}`)
  return bare.startsWith('/') ? posix.resolve(bare) : bare
}
