import { TidemarkError } from '../kernel/errors.ts'
import {
  JsonFault,
  memberOf,
  parseJsonText,
  removeFromText,
  setInText,
  type JsonMember,
  type JsonNode,
} from '../machine/json-text.ts'
import { changePrivateFile, readPrivateFile } from '../machine/private-file.ts'

/**
 * A file of settings in origin 000's shape, lines 129-141: `{profiles: {name: {setting: value}}, active_profile}`.
 * People write it by hand too, and newer versions with keys that this one does not know: a change is made in the one
 * place that it is about, and a file that can't be read is left as it is (D9).
 */
export interface ConfigFile {
  /** Null: it names none. */
  readonly active: string | null
  readonly profiles: readonly string[]
  /** What stands there for a setting; undefined: nothing, or null. */
  find(profile: string, name: string): StoredValue | undefined
  /** The profile's object, as its text. */
  textOf(profile: string): string | null
}

export interface StoredValue {
  readonly value: unknown
  /** Of the value, as the file is told to be wrong there. */
  readonly refuse: (why: string) => TidemarkError
}

export type ConfigChange =
  | { readonly set: readonly string[]; readonly value: string }
  | { readonly remove: readonly string[] }

/** Throws `config_invalid` with file, line and key. */
export const readConfigFile = (path: string): ConfigFile => openText(path, readPrivateFile(path))

/** Changes what `choose` says, by what stands in the file then; nothing where it throws or says nothing. `empty` is what a new file
 * begins with. */
export function changeConfigFile(
  path: string,
  choose: (file: ConfigFile) => readonly ConfigChange[],
  empty: string,
): void {
  changePrivateFile(path, (before) => {
    const changes = choose(openText(path, before))
    if (isBlank(before) && changes.every((change) => 'remove' in change)) return null
    let text = isBlank(before) ? empty : before
    for (const change of changes)
      text = 'set' in change ? setInText(text, change.set, change.value) : removeFromText(text, change.remove)
    return text
  })
}

const isBlank = (text: string | null): text is null =>
  text === null || text.replace('\uFEFF', '').trim() === ''

function openText(path: string, text: string | null): ConfigFile {
  if (isBlank(text)) return { active: null, profiles: [], find: () => undefined, textOf: () => null }
  const refuse = (why: string, at: number, names: readonly string[]): TidemarkError => {
    const line = text.slice(0, at).split('\n').length
    const key = keyOf(names)
    const where = key === '' ? `line ${line}` : `line ${line}, ${key}`
    return new TidemarkError('config_invalid', `${path} cannot be read: ${where}: ${why}`, {
      details: { file: path, line, ...(key === '' ? {} : { key }) },
    })
  }
  const requireOnce = (node: JsonNode, names: readonly string[]): readonly JsonMember[] => {
    if (node.kind !== 'object') throw refuse('an object is missing', node.start, names)
    const seen = new Set<string>()
    for (const { name, start } of node.members) {
      // Which of the two is meant, nobody can say.
      if (seen.has(name)) throw refuse('it stands there twice', start, [...names, name])
      seen.add(name)
    }
    return node.members
  }
  const valueOf = (node: JsonNode): unknown =>
    node.kind === 'object' ? {} : (JSON.parse(text.slice(node.start, node.end)) as unknown)

  let root: JsonNode
  try {
    root = parseJsonText(text)
  } catch (fault) {
    if (fault instanceof JsonFault) throw refuse(fault.message, fault.position, fault.path)
    throw fault
  }
  requireOnce(root, [])
  const profilesNode = memberOf(root, 'profiles')?.value
  const profiles = profilesNode === undefined ? [] : requireOnce(profilesNode, ['profiles'])
  for (const { name, value } of profiles) requireOnce(value, ['profiles', name])
  const activeNode = memberOf(root, 'active_profile')?.value
  const active = activeNode === undefined ? null : valueOf(activeNode)
  if (activeNode !== undefined && typeof active !== 'string')
    throw refuse('a text is missing', activeNode.start, ['active_profile'])
  const profileNode = (profile: string) => profiles.find(({ name }) => name === profile)?.value
  return {
    active: typeof active === 'string' ? active : null,
    profiles: profiles.map(({ name }) => name),
    find(profile, name) {
      const member = memberOf(profileNode(profile), name)
      if (member === undefined) return undefined
      const value = valueOf(member.value)
      if (value === null) return undefined
      return { value, refuse: (why) => refuse(why, member.start, ['profiles', profile, name]) }
    },
    textOf(profile) {
      const node = profileNode(profile)
      return node === undefined ? null : text.slice(node.start, node.end)
    },
  }
}

/** Names as they are told: one that is no plain word may be anything, a secret in the wrong place too. */
const keyOf = (names: readonly string[]): string =>
  names.map((name) => (/^[A-Za-z0-9_-]{1,40}$/.test(name) ? name : '…')).join('.')
