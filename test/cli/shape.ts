/** What is common to values of JSON: how the output of a command is documented. */
export interface Shape {
  readonly kinds: ReadonlySet<string>
  /** Of objects. Absent from some of them: optional. */
  readonly fields?: ReadonlyMap<string, { readonly shape: Shape; readonly optional: boolean }>
  /** Of objects whose names are data, and of lists: what stands in them. */
  readonly element?: Shape
}

const NOTHING: Shape = { kinds: new Set() }

/** `named`: names of objects that hold data by name, such as counts by table. */
export function shapeOf(value: unknown, named: ReadonlySet<string>, name = ''): Shape {
  if (value === null) return { kinds: new Set(['null']) }
  if (Array.isArray(value)) {
    const elements = value.map((one: unknown) => shapeOf(one, named, name))
    return { kinds: new Set(['list']), element: elements.reduce(joinShapes, NOTHING) }
  }
  if (typeof value !== 'object') return { kinds: new Set([typeof value]) }
  const fields = Object.entries(value).map(([key, one]) => [key, shapeOf(one, named, key)] as const)
  if (named.has(name))
    return {
      kinds: new Set(['named']),
      element: fields.map(([, shape]) => shape).reduce(joinShapes, NOTHING),
    }
  return {
    kinds: new Set(['object']),
    fields: new Map(fields.map(([key, shape]) => [key, { shape, optional: false }])),
  }
}

/** What both are. */
export function joinShapes(one: Shape, other: Shape): Shape {
  const kinds = new Set([...one.kinds, ...other.kinds])
  const element =
    one.element === undefined || other.element === undefined
      ? (one.element ?? other.element)
      : joinShapes(one.element, other.element)
  const fields = joinFields(one, other)
  return { kinds, ...(fields === undefined ? {} : { fields }), ...(element === undefined ? {} : { element }) }
}

function joinFields(one: Shape, other: Shape): Shape['fields'] {
  if (one.fields === undefined || other.fields === undefined) return one.fields ?? other.fields
  const names = [...new Set([...one.fields.keys(), ...other.fields.keys()])]
  return new Map(
    names.map((name) => {
      const [left, right] = [one.fields?.get(name), other.fields?.get(name)]
      const optional = left === undefined || right === undefined || left.optional || right.optional
      return [name, { shape: joinShapes(left?.shape ?? NOTHING, right?.shape ?? NOTHING), optional }]
    }),
  )
}

/** As a type is written, over lines. */
export function printShape(shape: Shape, indent = ''): string {
  const parts = [...shape.kinds].sort().map((kind) => {
    const inner = `${indent}  `
    if (kind === 'object') {
      const lines = [...(shape.fields ?? [])].map(
        ([name, { shape: field, optional }]) =>
          `${inner}${name}${optional ? '?' : ''}: ${printShape(field, inner)}`,
      )
      return lines.length === 0 ? '{}' : `{\n${lines.join('\n')}\n${indent}}`
    }
    if (kind === 'named') return `{ [name]: ${printShape(shape.element ?? NOTHING, indent)} }`
    if (kind === 'list') {
      const element = printShape(shape.element ?? NOTHING, indent)
      return element.includes(' | ') && !element.startsWith('{') ? `(${element})[]` : `${element}[]`
    }
    return kind
  })
  // Null last, as people say it.
  return parts.length === 0
    ? 'unknown'
    : [...parts.filter((part) => part !== 'null'), ...parts.filter((part) => part === 'null')].join(' | ')
}
