import { parseTree, printParseErrorCode, type Node, type ParseError } from 'jsonc-parser';

/** A member of a JSON object with its value as it is written: a number that JavaScript would round keeps its digits. */
export interface Member {
  name: string;
  text: string;
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
  const root = parse(text);
  if (root.type !== 'object') throw new JsonFault('it is no object {…}', root.offset);
  return (root.children ?? []).map(({ children: [name, value] = [] }) => ({
    name: String(name?.value),
    text: value ? text.slice(value.offset, value.offset + value.length) : '',
  }));
}

function parse(text: string): Node {
  const errors: ParseError[] = [];
  const root = parseNested(text, errors);
  const [first] = errors;
  if (first)
    throw new JsonFault(problems[printParseErrorCode(first.error)] ?? 'this is no JSON', first.offset);
  if (!root) throw new JsonFault('a value is expected', 0);
  return root;
}

function parseNested(text: string, errors: ParseError[]): Node | undefined {
  try {
    return parseTree(text, errors, { disallowComments: true });
  } catch (error) {
    // The parser ran out of stack.
    if (error instanceof RangeError) throw new JsonFault('it is nested too deep', 0);
    throw error;
  }
}
