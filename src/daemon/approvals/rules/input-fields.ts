import { isPlainObject } from '../../../kernel/values.ts'

/** What the fields of a tool's input mean to rules. An input is JSON that came from outside. */

type Fields = { readonly [name: string]: unknown }
type Kind = 'string' | 'number' | 'boolean'

/**
 * Fields beside the command that change neither what runs nor where, nor with which rights: an allow rule for a command
 * matches no input with any other (`cwd`, `env`, `sandbox`, …), nor one of these as something else.
 */
const BESIDE_COMMAND = new Map<string, Kind>([
  ['command', 'string'],
  ['description', 'string'],
  ['timeout', 'number'],
  ['run_in_background', 'boolean'],
])
/** Where a tool names the file it works on. */
const PATH_FIELDS = new Set(['file_path', 'path', 'notebook_path'])
/** What such a tool does with that file, and with no other. */
const BESIDE_PATH = new Map<string, Kind>([
  ['description', 'string'],
  ['offset', 'number'],
  ['limit', 'number'],
  ['content', 'string'],
  ['old_string', 'string'],
  ['new_string', 'string'],
  ['replace_all', 'boolean'],
  ['new_source', 'string'],
  ['cell_id', 'string'],
  ['cell_type', 'string'],
  ['edit_mode', 'string'],
])
/** Texts that are no place and nothing to run, so that a rule against a path finds nothing in them. */
const MERE_TEXT = new Set(['description', 'content', 'old_string', 'new_string', 'new_source'])

const fieldsOf = (input: unknown): Fields | null =>
  typeof input === 'object' && input !== null && !Array.isArray(input) && isPlainObject(input) ? input : null

/** The command of an input that holds one and only harmless fields beside it; else null. */
export function plainCommandField(input: unknown): string | null {
  const fields = fieldsOf(input)
  if (fields === null || !Object.hasOwn(fields, 'command')) return null
  for (const [name, value] of Object.entries(fields))
    if (typeof value !== BESIDE_COMMAND.get(name)) return null
  return typeof fields['command'] === 'string' ? fields['command'] : null
}

/** The path of an input that holds exactly one and only harmless fields beside it; else null. */
export function plainPathField(input: unknown): string | null {
  const fields = fieldsOf(input)
  if (fields === null) return null
  const paths: string[] = []
  for (const [name, value] of Object.entries(fields)) {
    if (PATH_FIELDS.has(name) && typeof value === 'string') paths.push(value)
    else if (typeof value !== BESIDE_PATH.get(name)) return null
  }
  return paths.length === 1 ? (paths[0] ?? null) : null
}

const RUNS =
  /command|cmd|shell|exec|bash|argv|spawn|stdin|keystroke|program|^script|script$|^args|args$|^eval/
const RUNNING_WORDS = new Set([
  'arg',
  'args',
  'arguments',
  'code',
  'eval',
  'process',
  'run',
  'script',
  'scripts',
  'sh',
  'pwsh',
  'powershell',
])

/** True where a field could say what is to be run, by its name. Names of other letters than ASCII are not judged. */
function mayRun(name: string): boolean {
  if (!/^[A-Za-z0-9_.-]+$/.test(name)) return true
  const words = name
    .replace(/([a-z0-9])([A-Z])/g, '$1 $2')
    .toLowerCase()
    .split(/[^a-z]+/)
  if (words.some((word) => RUNNING_WORDS.has(word))) return true
  // Words joined, so that `com_mand` is found as well; a description is none, though it has a script in it.
  const joined = words.join('')
  return joined !== 'description' && RUNS.test(joined)
}

/** True where an input names, or may name, a command: no allow rule for a tool as a whole matches it. */
export function namesCommand(input: unknown): boolean {
  if (input === null) return false
  const fields = fieldsOf(input)
  return fields === null || anyField(fields, mayRun)
}

function anyField(value: unknown, found: (name: string) => boolean): boolean {
  if (typeof value !== 'object' || value === null) return false
  if (Array.isArray(value)) return value.some((item) => anyField(item, found))
  return Object.entries(value).some(([name, item]) => found(name) || anyField(item, found))
}

/** Every text of an input that may be run, at any depth; a list of words also as one text. */
export function textsToRun(input: unknown): readonly string[] {
  const texts: string[] = []
  collect(input, (name) => name !== 'description', texts)
  return texts
}

/** Every text of an input that may name a place. */
export function textsOfPlaces(input: unknown): readonly string[] {
  const texts: string[] = []
  collect(input, (name) => !MERE_TEXT.has(name), texts)
  return texts
}

function collect(value: unknown, wanted: (name: string) => boolean, texts: string[]): void {
  if (typeof value === 'string') texts.push(value)
  if (typeof value !== 'object' || value === null) return
  if (Array.isArray(value)) {
    const words = value.filter((item) => typeof item === 'string')
    if (words.length > 1) texts.push(words.join(' '))
    for (const item of value) collect(item, wanted, texts)
    return
  }
  for (const [name, item] of Object.entries(value)) if (wanted(name)) collect(item, wanted, texts)
}
