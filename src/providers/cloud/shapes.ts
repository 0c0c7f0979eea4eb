/**
 * Small checks of parsed JSON, put together to those of the answers. The schemas of `protocol/` say the same, but
 * with their library they are larger than the whole client, and some browsers forbid the code it generates.
 * Properties that a shape does not name are passed over: a newer cloud may say more.
 */
export type Shape = (value: unknown) => boolean

type Properties = { readonly [name: string]: Shape }

export const isNull: Shape = (value) => value === null
export const isBoolean: Shape = (value) => typeof value === 'boolean'
export const isTrue: Shape = (value) => value === true
/** A count: a whole number from 0 that JavaScript holds exactly. */
export const isCount: Shape = (value) => Number.isSafeInteger(value) && (value as number) >= 0
export const isInteger: Shape = (value) => Number.isSafeInteger(value)
export const isText: Shape = (value) => typeof value === 'string'
export const isFields: Shape = (value) => typeof value === 'object' && value !== null && !Array.isArray(value)

/** Text of `min` to `max` characters; a character past U+FFFF is one. */
export function text(min: number, max: number, pattern?: RegExp): Shape {
  return (value) => {
    if (typeof value !== 'string' || value.length > 2 * max) return false
    if (value.length > max || value.length < 2 * min) {
      const points = countPoints(value)
      if (points < min || points > max) return false
    }
    return pattern === undefined || pattern.test(value)
  }
}

function countPoints(value: string): number {
  let points = 0
  for (let at = 0; at < value.length; at++, points++) {
    if ((value.codePointAt(at) as number) > 0xffff) at++
  }
  return points
}

export function listOf(item: Shape, min = 0, max = Number.POSITIVE_INFINITY): Shape {
  return (value) => Array.isArray(value) && value.length >= min && value.length <= max && value.every(item)
}

export function pairOf(first: Shape, second: Shape): Shape {
  return (value) => Array.isArray(value) && value.length === 2 && first(value[0]) && second(value[1])
}

/** An object of which every value has the shape, whatever its name. */
export function mapOf(item: Shape): Shape {
  return (value) => isFields(value) && Object.values(value as object).every(item)
}

export function objectOf(required: Properties, optional: Properties = {}): Shape {
  const must = Object.entries(required)
  const may = Object.entries(optional)
  return (value) => {
    if (!isFields(value)) return false
    const object = value as { readonly [name: string]: unknown }
    for (const [name, shape] of must) if (!Object.hasOwn(object, name) || !shape(object[name])) return false
    for (const [name, shape] of may) if (Object.hasOwn(object, name) && !shape(object[name])) return false
    return true
  }
}

export function anyOf(...shapes: readonly Shape[]): Shape {
  return (value) => shapes.some((shape) => shape(value))
}

/** One of several objects, told apart by a property. */
export function taggedBy(tag: string, shapes: Properties): Shape {
  return (value) => {
    const name = isFields(value) ? (value as { readonly [name: string]: unknown })[tag] : undefined
    if (typeof name !== 'string' || !Object.hasOwn(shapes, name)) return false
    return shapes[name]?.(value) === true
  }
}
