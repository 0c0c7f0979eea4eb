import { encodeInt, encodeReal, encodeText, type Encoded } from '../../kernel/values.ts'
import type { SchemaColumn } from '../../protocol/schema.ts'

/** The value of a literal DEFAULT clause. The memory file knows no expressions: those count as NULL. */
export function columnDefault({ default: text }: SchemaColumn): Encoded {
  if (text === undefined) return null
  if (/^[+-]?[0-9]{1,18}$/.test(text)) return encodeInt(BigInt(text.replace('+', '')))
  if (/^[+-]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?$/i.test(text)) return encodeReal(Number(text))
  if (/^'(?:[^']|'')*'$/.test(text)) return encodeText(text.slice(1, -1).replaceAll("''", "'"))
  return null
}
