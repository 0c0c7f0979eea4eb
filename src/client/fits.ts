import type { TSchema } from 'typebox'

/** As much of JSON Schema as says what an answer is made of; bounds and patterns are the daemon's business. */
interface Schema {
  readonly type?: string
  readonly const?: unknown
  readonly anyOf?: readonly TSchema[]
  readonly properties?: { readonly [name: string]: TSchema }
  readonly required?: readonly string[]
  readonly items?: TSchema
}

/**
 * Whether an answer is what its schema says, so that nobody goes on with something else. By hand: the library that
 * checks requests would be most of what a program loads.
 */
export function fits<T>(schema: TSchema, value: unknown): value is T {
  const { type, anyOf, properties = {}, required = [], items, ...rest }: Schema = schema
  if ('const' in rest) return value === rest.const
  if (anyOf !== undefined) return anyOf.some((one) => fits(one, value))
  if (type === 'array')
    return Array.isArray(value) && (items === undefined || value.every((item) => fits(items, item)))
  if (type === 'object') {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
    const fields = new Map(Object.entries(value))
    if (!required.every((name) => fields.has(name))) return false
    return Object.entries(properties).every(([name, one]) => !fields.has(name) || fits(one, fields.get(name)))
  }
  if (type === 'null') return value === null
  if (type === 'integer') return Number.isInteger(value)
  return type === undefined || typeof value === type
}
