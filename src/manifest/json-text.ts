import { printParseErrorCode, visit, type JSONVisitor } from 'jsonc-parser';

/** A member of a JSON object with its value as it is written: a number that JavaScript would round keeps its digits. */
export interface Member {
  /** Empty for an item of an array. */
  name: string;
  text: string;
  /** Where the value begins, from 0. */
  at: number;
}

/** Where and why a text is no JSON object. */
export class JsonFault extends Error {
  /** Place of the character that can't stand there, from 0. */
  readonly at: number;

  constructor(problem: string, at: number) {
    super(problem);
    this.at = at;
  }
}

/** What `jsonc-parser` says, as people say it. */
const problems: Record<string, string> = {
  InvalidNumberFormat: 'this is no number that JSON knows',
  PropertyNameExpected: 'a name in double quotation marks is expected',
  ValueExpected: 'a value is expected',
  ColonExpected: '":" is expected',
  CommaExpected: '"," is expected',
  CloseBraceExpected: '"}" is expected',
  CloseBracketExpected: '"]" is expected',
  EndOfFileExpected: 'something follows after its end',
  InvalidCommentToken: 'JSON has no comments',
  UnexpectedEndOfString: 'its text is never closed with a quotation mark',
  InvalidUnicode: 'this is no escape that JSON knows',
  InvalidEscapeCharacter: 'this is no escape that JSON knows',
  InvalidCharacter: 'a control character in a text',
};

/**
 * The members of a text that is one JSON object, in order, also those whose name stands twice.
 * @throws JsonFault where the text is anything else
 */
export function readObject(text: string): Member[] {
  const members = readParts(text);
  const first = text.search(/\S/);
  if (text[first] !== '{') throw new JsonFault('it is no object {…}', first);
  return members;
}

/**
 * The items of a text that is one JSON array, or the members of one that is an object.
 * @throws JsonFault where the text is anything else
 */
export function readItems(text: string): { is: 'list' | 'object'; parts: Member[] } {
  const parts = readParts(text);
  const first = text.search(/\S/);
  if (text[first] !== '{' && text[first] !== '[')
    throw new JsonFault('it is no list […] and no object {…}', first);
  return { is: text[first] === '[' ? 'list' : 'object', parts };
}

/** What stands directly in the text's outermost object or array. */
function readParts(text: string): Member[] {
  const parts: Member[] = [];
  let depth = 0;
  let start = 0;
  let name = '';
  const begin = (offset: number): void => {
    if (depth === 1) start = offset;
    depth++;
  };
  const end = (offset: number, length: number): void => {
    depth--;
    if (depth !== 1) return;
    parts.push({ name, text: text.slice(start, offset + length), at: start });
    name = '';
  };
  visitNested(text, {
    onObjectBegin: begin,
    onObjectEnd: end,
    onArrayBegin: begin,
    onArrayEnd: end,
    onObjectProperty: (found) => {
      if (depth === 1) name = found;
    },
    onLiteralValue: (_, offset, length) => {
      begin(offset);
      end(offset, length);
    },
    onError: (error, offset) => {
      throw new JsonFault(problems[printParseErrorCode(error)] ?? 'this is no JSON', offset);
    },
  });
  return parts;
}

/** Tells what the text holds as it goes: a tree of it would be many times its size. */
function visitNested(text: string, visitor: JSONVisitor): void {
  try {
    visit(text, visitor, { disallowComments: true });
  } catch (error) {
    // The parser ran out of stack.
    if (error instanceof RangeError) throw new JsonFault('it is nested too deep', 0);
    throw error;
  }
}
