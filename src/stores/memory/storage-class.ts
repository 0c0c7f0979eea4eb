import { isPlainObject, type Encoded } from '../../kernel/values.ts'

/** The integer that an encoding stands for, exactly; null when it stands for anything else. */
export function integerOf(value: Encoded | undefined): bigint | null {
  if (typeof value === 'number') return Number.isInteger(value) ? BigInt(value) : null
  const text = tagOf(value, '$int')
  return text === null ? null : BigInt(text)
}

/** True when a STRICT table's column of this declared type takes the value. */
export function isOfType(value: Encoded, type: string): boolean {
  switch (type.toUpperCase()) {
    case 'INT':
    case 'INTEGER':
      return integerOf(value) !== null
    case 'REAL':
      return typeof value === 'number' || tagOf(value, '$real') !== null
    case 'TEXT':
      return typeof value === 'string' || tagOf(value, '$text') !== null
    case 'BLOB':
      return tagOf(value, '$bytes') !== null
    default:
      return true
  }
}

function tagOf(value: Encoded | undefined, tag: string): string | null {
  if (typeof value !== 'object' || value === null || !isPlainObject(value)) return null
  const body = value[tag]
  return typeof body === 'string' ? body : null
}
