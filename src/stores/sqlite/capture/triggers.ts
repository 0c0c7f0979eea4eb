import { quoteName } from '../driver/driver.ts'
import type { Shape } from '../shape/shape.ts'
import { displacedTriggers } from './displaced.ts'
import { FLAG_ROW, keyIsWhole, keyOfRow, markStatement, markTime, NOT_APPLYING, rowidNames } from './marks.ts'
import { triggerName, type TriggerKind } from './names.ts'
import { collateUnless } from './plan.ts'
import type { TriggerSource, TriggerText } from './source.ts'

/**
 * Every trigger of one table, in the order in which they are to be made. Where other tables refer to this one, a row is
 * marked before anything happens to it:
 * - What its change sets off there comes before AFTER triggers, and may end the statement without undoing the change
 *   (`RAISE(FAIL)`, `OR FAIL`).
 * - SQLite up to 3.53 may tell AFTER triggers another key than the row had: looking for rows that refer to it through an
 *   index on a column of numbers, it makes 7 of the text '007'.
 */
export function captureTriggers(source: TriggerSource): readonly TriggerText[] {
  const { shape } = source
  const keys = keyNames(shape).join(', ')
  const inserted = markTrigger(source, 'i', 'AFTER INSERT', 'NEW', '')
  const moved = markTrigger(source, 'k', `AFTER UPDATE OF ${keys}`, 'NEW', keyDiffers(shape))
  const marks = shape.referenced
    ? [
        markTrigger(source, 'ei', 'BEFORE INSERT', 'NEW', keyIsTaken(shape)),
        markTrigger(source, 'eu', 'BEFORE UPDATE', 'OLD', ''),
        markTrigger(
          source,
          'ek',
          `BEFORE UPDATE OF ${keys}`,
          'NEW',
          newKeyIsWhole(shape) + keyDiffers(shape),
        ),
        markTrigger(source, 'ed', 'BEFORE DELETE', 'OLD', ''),
        inserted,
        moved,
      ]
    : [
        inserted,
        markTrigger(source, 'u', 'AFTER UPDATE', 'OLD', ''),
        moved,
        markTrigger(source, 'd', 'AFTER DELETE', 'OLD', ''),
      ]
  return [...displacedTriggers(source), ...marks]
}

function markTrigger(
  source: TriggerSource,
  kind: TriggerKind,
  when: string,
  row: 'NEW' | 'OLD',
  condition: string,
): TriggerText {
  const { shape, number, clock } = source
  const name = triggerName(number, kind)
  const select = `${keyOfRow(shape, row)}, ${markTime(clock)} FROM ${FLAG_ROW} WHERE ${NOT_APPLYING}`
  const mark = markStatement(shape, number, `${select}${keyIsWhole(shape, row)}${condition}`)
  const on = `${when} ON ${quoteName(shape.name)}`
  return { name, sql: `CREATE TRIGGER ${quoteName(name)} ${on} BEGIN ${mark} END` }
}

/** `UPDATE OF` goes by the names in SET, and the key's row number has three more. */
function keyNames(shape: Shape): readonly string[] {
  const names = shape.key.map((key) => key.name)
  return [...names, ...(shape.rowidAlias ? rowidNames(shape) : [])].map(quoteName)
}

/** By value: a collation that takes two spellings for one may be the column's and not the key's. */
function keyDiffers(shape: Shape): string {
  const differ = shape.key.map(
    ({ name }) => `OLD.${quoteName(name)} IS NOT NEW.${quoteName(name)} COLLATE BINARY`,
  )
  return ` AND (${differ.join(' OR ')})`
}

/** NOT NULL is looked at after BEFORE triggers, and OR REPLACE fills the default in after them. */
const newKeyIsWhole = (shape: Shape): string =>
  shape.key.map(({ name }) => ` AND NEW.${quoteName(name)} IS NOT NULL`).join('')

/** A row that stands under the key will be displaced, or the insert comes to nothing. */
function keyIsTaken(shape: Shape): string {
  const equal = shape.key.map(({ name, at, collation }) => {
    const own = shape.columns[at]?.collation
    return `d.${quoteName(name)}${collateUnless(collation, own)} = NEW.${quoteName(name)}`
  })
  return ` AND EXISTS (SELECT 1 FROM ${quoteName(shape.name)} AS d WHERE ${equal.join(' AND ')})`
}
