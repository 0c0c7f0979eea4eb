import { TidemarkError } from '../kernel/errors.ts'
import { isSpaceName } from '../protocol/space-name.ts'

/** What an argument or a setting takes. */
interface Kind {
  readonly wanted: string
  readonly isFit: (value: unknown) => boolean
}

const isText = (value: unknown): boolean => typeof value === 'string'
const isFunction = (value: unknown): boolean => typeof value === 'function'
const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null
const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && Number(value) >= 0

/** Timers count milliseconds in 31 bits. */
const MAX_WAIT_MS = 2 ** 31 - 1

const TEXT: Kind = { wanted: 'a text', isFit: isText }
const FUNCTION: Kind = { wanted: 'a function', isFit: isFunction }
const OBJECT: Kind = { wanted: 'an object', isFit: isObject }
const FLAG: Kind = { wanted: 'true or false', isFit: (value) => typeof value === 'boolean' }
const COUNT: Kind = { wanted: 'a whole number that is not negative', isFit: isCount }
const TABLES: Kind = {
  wanted: 'a list of names of tables',
  isFit: (value) => Array.isArray(value) && value.every(isText),
}

const KINDS = {
  config: OBJECT,
  endpoint: TEXT,
  token: TEXT,
  space: {
    wanted: 'a name of letters, digits and . _ : -, that begins with a letter or digit',
    isFit: (value) => typeof value === 'string' && isSpaceName(value),
  },
  home: TEXT,
  tables: TABLES,
  exclude: TABLES,
  entityTypes: TABLES,
  merge: FLAG,
  open: FLAG,
  waiting: FLAG,
  limit: COUNT,
  waitMs: {
    wanted: `a number of milliseconds above 0, up to ${MAX_WAIT_MS}`,
    isFit: (value) => typeof value === 'number' && value > 0 && value <= MAX_WAIT_MS,
  },
  setup: FUNCTION,
  fetch: FUNCTION,
  resolver: FUNCTION,
  listener: FUNCTION,
  onProgress: FUNCTION,
  onError: FUNCTION,
  manager: {
    wanted: 'a sync manager',
    isFit: (value) => isObject(value) && 'performSync' in value && isFunction(value.performSync),
  },
  resolvers: {
    wanted: 'an object of functions by the names of tables',
    isFit: (value) =>
      isObject(value) &&
      !Array.isArray(value) &&
      Object.values(value).every((one) => one === undefined || isFunction(one)),
  },
  environment: OBJECT,
  clock: OBJECT,
  random: OBJECT,
  logger: OBJECT,
  filter: OBJECT,
  changes: { wanted: 'an object of settings', isFit: (value) => isObject(value) && !Array.isArray(value) },
  control: {
    wanted: 'an object such as { signal }',
    isFit: (value) => isObject(value) && !('aborted' in value),
  },
  signal: {
    wanted: 'an AbortSignal',
    isFit: (value) => isObject(value) && 'aborted' in value && 'addEventListener' in value,
  },
} as const satisfies { readonly [name: string]: Kind }

/**
 * Refuses what only JavaScript can give, by its name, before it does something else than was meant: a text in the
 * place of a list would sync other tables, or none. What is absent or undefined is fit. Throws `bad_usage`.
 */
export function requireFit(given: { readonly [Name in keyof typeof KINDS]?: unknown }): void {
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined || !Object.hasOwn(KINDS, name)) continue
    const { wanted, isFit }: Kind = KINDS[name as keyof typeof KINDS]
    if (isFit(value)) continue
    throw new TidemarkError('bad_usage', `${name} takes ${wanted}`, { details: { argument: name } })
  }
}

/** Refuses what is misspelt: it would be ignored. Throws `bad_usage`. */
export function requireKnown(given: object, known: readonly string[]): void {
  const unknown = Object.entries(given).flatMap(([name, value]) =>
    value === undefined || known.includes(name) ? [] : [name],
  )
  if (unknown.length === 0) return
  throw new TidemarkError('bad_usage', `There is no setting ${unknown.join(', ')} here`, {
    details: { unknown, known },
  })
}
