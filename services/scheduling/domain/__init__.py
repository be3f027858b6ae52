"""The rules of a relationship over time: values in, values out. One module per concern; `model` holds the aggregates."""
