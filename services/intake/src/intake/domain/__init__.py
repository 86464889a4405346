"""The rules of intake: values in, a decision or a ProblemError out. No IO."""
